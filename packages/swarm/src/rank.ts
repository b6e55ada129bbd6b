import { sha256 } from "@ckmesh/core";
import type { PeerClass } from "@ckmesh/wire";

/** Weights of rule 5: how much of the WAN work a class of machine should do. Measured slow: 0. */
export const CLASS_WEIGHT: Readonly<Record<PeerClass, number>> = { wired: 1, wifi: 0.3, battery: 0.1 };

/**
 * Weighted rendezvous score of a peer for a span (site swarm rule 5): -w / ln h. The higher, the sooner.
 * @param versionId 32 bytes
 * @param peerId lower-case hex of 32 bytes
 */
export function spanScore(versionId: Uint8Array, span: number, peerId: string, weight: number): number {
  const input = new Uint8Array(68);
  input.set(versionId, 0);
  new DataView(input.buffer).setUint32(32, span, true);
  input.set(Buffer.from(peerId, "hex").subarray(0, 32), 36);
  const digest = sha256(input);
  const view = new DataView(digest.buffer, digest.byteOffset, 8);
  const bits = view.getUint32(0) * 2 ** 20 + (view.getUint32(4) >>> 12);
  return weight === 0 ? 0 : -weight / Math.log((bits + 0.5) / 2 ** 52);
}

/** Who of two ranks first: higher score, then lower peer id. Negative when `a` does. */
export function compareRank(
  a: { readonly score: number; readonly peerId: string },
  b: { readonly score: number; readonly peerId: string },
): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.peerId < b.peerId ? -1 : Number(a.peerId > b.peerId);
}
