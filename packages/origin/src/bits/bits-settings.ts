import type { HostId } from "@ckmesh/bits";
import { AppError, parseSize } from "@ckmesh/core";
import type { BitsConfig } from "../config/bits-schema.js";

/** What the block `bits` of the configuration says, in units. */
export interface BitsSettings {
  readonly isEnabled: boolean;
  readonly sessionTimeoutMs: number;
  readonly maxUploadBytes: number;
  /** Where a client is to go on; absent where any server of the name will do. */
  readonly host: HostId | undefined;
  readonly notification: NotificationSettings | undefined;
  /** Absent: no limit. */
  readonly maxSessionsPerUser: number | undefined;
  /** Between two looks for surplus sessions. */
  readonly cleanupMs: number;
  /** Absent: no limit. */
  readonly stagingQuota: number | undefined;
  /** Bytes. */
  readonly freeSpaceReserve: number;
}

export interface NotificationSettings {
  readonly type: "by-reference" | "by-value";
  readonly url: URL;
}

/** "The string value must be less than or equal to" this, which an empty one stands for. */
const LARGEST_UPLOAD_BYTES = 1_844_674_407_370_955;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Of `BITSCleanupUseDefault`. */
const DEFAULT_CLEANUP_MS = 12 * HOUR_MS;
/** `BITSCleanupUnits` and the largest `BITSCleanupCount` of each. */
const CLEANUP_UNITS = [
  { ms: MINUTE_MS, max: 60, name: "minutes" },
  { ms: HOUR_MS, max: 24, name: "hours" },
  { ms: DAY_MS, max: 360, name: "days" },
] as const;

/** @throws {AppError} ERR_CONFIG_INVALID naming the key and what to do */
export function bitsSettings(bits: BitsConfig): BitsSettings {
  return {
    isEnabled: bits.BITSUploadEnabled,
    sessionTimeoutMs: bits.BITSSessionTimeout * 1000,
    maxUploadBytes: maxUploadBytes(bits),
    host:
      bits.BITSHostId === ""
        ? undefined
        : { name: bits.BITSHostId, fallbackSeconds: bits.BITSHostIdFallbackTimeout },
    notification: notificationSettings(bits),
    maxSessionsPerUser: bits.BITSSessionLimitEnable ? bits.BITSNumberOfSessionsLimit : undefined,
    cleanupMs: cleanupMs(bits),
    stagingQuota: bits.stagingQuota === "" ? undefined : parseSize(bits.stagingQuota),
    freeSpaceReserve: bits.freeSpaceReserve === "" ? 0 : parseSize(bits.freeSpaceReserve),
  };
}

function maxUploadBytes({ BITSMaximumUploadSize }: BitsConfig): number {
  if (BITSMaximumUploadSize === "") return LARGEST_UPLOAD_BYTES;
  const bytes = Number(BITSMaximumUploadSize);
  if (bytes > LARGEST_UPLOAD_BYTES) {
    throw invalid(`bits.BITSMaximumUploadSize is ${BITSMaximumUploadSize}, at most ${LARGEST_UPLOAD_BYTES}`);
  }
  return bytes;
}

function cleanupMs({ BITSCleanupUseDefault, BITSCleanupCount, BITSCleanupUnits }: BitsConfig): number {
  if (BITSCleanupUseDefault) return DEFAULT_CLEANUP_MS;
  const unit = CLEANUP_UNITS[BITSCleanupUnits];
  if (unit === undefined) throw new Error("unreachable: the schema knows three units");
  if (BITSCleanupCount > unit.max) {
    throw invalid(`bits.BITSCleanupCount is ${BITSCleanupCount}, at most ${unit.max} ${unit.name}`);
  }
  return BITSCleanupCount * unit.ms;
}

function notificationSettings(bits: BitsConfig): NotificationSettings | undefined {
  const { BITSServerNotificationType: type, BITSServerNotificationURL: text } = bits;
  if (type === 0) return undefined;
  if (text === "") {
    throw invalid(`bits.BITSServerNotificationType ${type} needs bits.BITSServerNotificationURL`);
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // IIS also takes a page of its own site; this origin runs no programs.
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.username !== "") {
    throw invalid(
      `bits.BITSServerNotificationURL is ${JSON.stringify(text)}: give an absolute http:// or https:// URL without credentials`,
    );
  }
  return { type: type === 1 ? "by-reference" : "by-value", url };
}

function invalid(message: string): AppError {
  return new AppError("ERR_CONFIG_INVALID", message);
}
