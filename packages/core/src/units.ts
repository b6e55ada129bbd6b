import { AppError } from "./errors.js";

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/**
 * Parses a rate such as `50M` or `800k` (bits per second, decimal prefixes as links are sold) or `5MB/s`
 * (bytes per second).
 * @returns bytes per second
 * @throws {AppError} ERR_USAGE
 */
export function parseRate(text: string): number {
  const m = /^(\d{1,9}(?:\.\d{1,6})?)\s*([kMG]?)(bit\/s|bps|b|B\/s|B)?$/.exec(text.trim());
  const factor = { "": 1, k: 1e3, M: 1e6, G: 1e9 }[m?.[2] ?? "?"];
  if (m === null || factor === undefined) {
    throw new AppError(
      "ERR_USAGE",
      `${JSON.stringify(text)} is no rate; write for example 50M (bits per second) or 5MB/s`,
    );
  }
  const value = Number(m[1]) * factor;
  return (m[3] ?? "").startsWith("B") ? value : value / 8;
}

/**
 * Parses a size such as `512`, `64KiB`, `20GB`.
 * @returns bytes
 * @throws {AppError} ERR_USAGE
 */
export function parseSize(text: string): number {
  const m = /^(\d{1,12}(?:\.\d{1,6})?)\s*(?:([kKMGT])(i?)B?|B)?$/.exec(text.trim());
  if (m === null)
    throw new AppError("ERR_USAGE", `${JSON.stringify(text)} is no size; write for example 64KiB or 20GB`);
  const power = { k: 1, K: 1, M: 2, G: 3, T: 4 }[m[2] ?? ""] ?? 0;
  return Math.round(Number(m[1]) * (m[3] === "i" ? 1024 : 1000) ** power);
}

/**
 * Parses a duration such as `250ms`, `15m`, `24h`.
 * @returns ms
 * @throws {AppError} ERR_USAGE
 */
export function parseDuration(text: string): number {
  const m = /^(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)$/.exec(text.trim());
  const factor = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }[m?.[2] ?? "?"];
  if (m === null || factor === undefined) {
    throw new AppError(
      "ERR_USAGE",
      `${JSON.stringify(text)} is no duration; write for example 30s, 15m or 24h`,
    );
  }
  return Number(m[1]) * factor;
}

/** Bytes for people, decimal prefixes: `16.0 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(value) < 999.95) return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(2)} TB`;
}

/** A duration for people: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 10 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${twoDigits(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${twoDigits(Math.floor((seconds % 3600) / 60))} min`;
}

function twoDigits(n: number): string {
  return String(n).padStart(2, "0");
}
