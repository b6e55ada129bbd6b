import { fromHex } from "@ckmesh/core";
import type { Claim, ClaimState } from "./peer-messages.js";

/** Position in this list is the byte that is signed: append only. */
const STATE_BYTES: readonly ClaimState[] = ["open", "moving", "done", "released", "paused"];
const PREFIX = "ckmesh/1 claim\0";

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
  const claimer = fromHex(claim.claimer, 32);
  if (claimer === undefined || versionId.byteLength !== 32) throw new Error("unreachable: ids have 32 bytes");
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
