import { fromHex } from "@ckmesh/core";
import type { Claim, ClaimState, RowPromise } from "./peer-messages.js";

/** Position in this list is the byte that is signed: append only. */
const STATE_BYTES: readonly ClaimState[] = ["open", "moving", "done", "released", "paused"];
const PREFIX = "ckmesh/1 claim\0";
const PROMISE_PREFIX = "ckmesh/1 promise\0";

/**
 * What a claimer signs with its Ed25519 key: every field of the claim, bound to one version, so that relays
 * can neither alter it nor carry it to another swarm.
 * Layout: prefix, version id, claimer (32 bytes each), span, first row, rows (u32), epoch, bytes done, rate
 * (f64), state (u8), all big-endian; for a paused claim its pause in ms (u32) follows.
 */
export function claimSigningBytes(
  versionId: Uint8Array,
  claim: Omit<Claim, "signature" | "key">,
): Uint8Array {
  const claimer = idOf(claim.claimer, versionId);
  const numbers = Buffer.alloc(37);
  numbers.writeUInt32BE(claim.span, 0);
  numbers.writeUInt32BE(claim.rows.first, 4);
  numbers.writeUInt32BE(claim.rows.count, 8);
  numbers.writeDoubleBE(claim.epoch, 12);
  numbers.writeDoubleBE(claim.bytesDone, 20);
  numbers.writeDoubleBE(claim.rate, 28);
  numbers.writeUInt8(STATE_BYTES.indexOf(claim.state), 36);
  const pause = Buffer.alloc(claim.state === "paused" ? 4 : 0);
  if (claim.state === "paused") pause.writeUInt32BE(claim.pauseMs ?? 0);
  return Buffer.concat([Buffer.from(PREFIX, "latin1"), versionId, claimer, numbers, pause]);
}

/**
 * What a promiser signs with its Ed25519 key. Layout: prefix, version id, promiser (32 bytes each), epoch (f64),
 * then first row and rows of each run (u32), all big-endian.
 */
export function promiseSigningBytes(
  versionId: Uint8Array,
  promise: Omit<RowPromise, "signature" | "key">,
): Uint8Array {
  const promiser = idOf(promise.promiser, versionId);
  const numbers = Buffer.alloc(8 + 8 * promise.runs.length);
  numbers.writeDoubleBE(promise.epoch, 0);
  for (const [i, run] of promise.runs.entries()) {
    numbers.writeUInt32BE(run.first, 8 + 8 * i);
    numbers.writeUInt32BE(run.count, 12 + 8 * i);
  }
  return Buffer.concat([Buffer.from(PROMISE_PREFIX, "latin1"), versionId, promiser, numbers]);
}

function idOf(peerId: string, versionId: Uint8Array): Uint8Array {
  const id = fromHex(peerId, 32);
  if (id === undefined || versionId.byteLength !== 32) throw new Error("unreachable: ids have 32 bytes");
  return id;
}
