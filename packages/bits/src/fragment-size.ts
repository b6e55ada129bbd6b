import { KIB, MIB } from "@ckmesh/core";
import type { Fragment } from "./packet.js";

/** What Windows sends at most ([MC-BUP] <10>), and so what every server takes. */
export const MAX_FRAGMENT_BYTES = 13 * MIB;
/** Not smaller than this after 413 ([MC-BUP] 3.1.5.2.4). */
export const MIN_FRAGMENT_BYTES = 5 * KIB;
/** The size grows from here. */
const START_FRAGMENT_BYTES = 256 * KIB;
/**
 * A fragment takes about so long, ± a factor of two: long against the pause until its Ack, short against what a server
 * that keeps no half fragments loses with a connection.
 */
export const FRAGMENT_TARGET_MS = 4000;

/** How long the next fragments are. */
export interface FragmentSize {
  readonly bytes: number;
  /** What the plan and 413 answers allow. */
  readonly ceiling: number;
}

export function startSize(ceiling: number = MAX_FRAGMENT_BYTES): FragmentSize {
  return { bytes: Math.min(START_FRAGMENT_BYTES, ceiling), ceiling };
}

/** After a fragment of full size that took `tookMs` from its first byte to its Ack. */
export function adapted(size: FragmentSize, tookMs: number): FragmentSize {
  if (tookMs < FRAGMENT_TARGET_MS / 2) return { ...size, bytes: Math.min(size.bytes * 2, size.ceiling) };
  if (tookMs <= FRAGMENT_TARGET_MS * 2) return size;
  return { ...size, bytes: Math.max(Math.floor(size.bytes / 2), Math.min(MIN_FRAGMENT_BYTES, size.ceiling)) };
}

/**
 * After 413 to a fragment of `sent` bytes.
 * @returns undefined when there is nothing smaller to try
 */
export function halved(size: FragmentSize, sent: number): FragmentSize | undefined {
  if (sent <= MIN_FRAGMENT_BYTES) return undefined;
  const bytes = Math.max(Math.floor(Math.min(sent, size.bytes) / 2), MIN_FRAGMENT_BYTES);
  return { bytes, ceiling: bytes };
}

/** What decides the next fragment. */
export interface FragmentChoice {
  readonly received: number;
  readonly total: number;
  readonly size: FragmentSize;
  /** The next run of bytes that the server cannot find by itself. */
  readonly missing: readonly [number, number] | undefined;
  /** The server may have more than it last said: a short fragment asks. */
  readonly isProbe: boolean;
  readonly firstBytes: number | undefined;
}

/** From the next byte wanted, never beyond the run that is missing. */
export function nextFragment(choice: FragmentChoice): Fragment {
  const { received, total, size, missing, firstBytes } = choice;
  // What lies before the missing run is with the server, which needs a fragment to answer with more of it.
  const isShort = choice.isProbe || (missing !== undefined && missing[0] > received);
  const most = isShort ? Math.min(size.bytes, MIN_FRAGMENT_BYTES) : size.bytes;
  const bytes = received === 0 ? Math.min(most, firstBytes ?? most) : most;
  const end = Math.min(received + bytes, total, missing === undefined || isShort ? total : missing[1] + 1);
  return { first: received, last: end - 1, total };
}
