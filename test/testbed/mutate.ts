import type { Random } from "@ckmesh/core";

/** Values at which lengths and counts turn over. */
const EDGES = [0, 1, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0xff];
const MAX_INSERT_BYTES = 64;
const MAX_CHANGES = 4;

/** A damaged copy of a token: one to four of flips, edge values, cuts, insertions, repeats and swapped pieces. */
export function mutate(token: Uint8Array, random: Random): Uint8Array {
  let bytes = Uint8Array.from(token);
  for (let left = 1 + below(random, MAX_CHANGES); left > 0; left -= 1) bytes = change(bytes, random);
  return bytes;
}

function change(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const at = below(random, bytes.length + 1);
  const length = below(random, Math.min(MAX_INSERT_BYTES, bytes.length - at) + 1);
  const piece = bytes.subarray(at, at + length);
  switch (below(random, 6)) {
    case 0:
      return replace(bytes, at, 1, [(bytes[at] ?? 0) ^ (1 << below(random, 8))]);
    case 1:
      return replace(bytes, at, 1, [EDGES[below(random, EDGES.length)] ?? 0]);
    case 2:
      return replace(bytes, at, length, []);
    case 3:
      return replace(
        bytes,
        at,
        0,
        Array.from({ length }, () => below(random, 256)),
      );
    case 4:
      return replace(bytes, at, 0, [...piece]);
    default:
      // Four bytes as an offset or length of NTLM: huge, or just past the end.
      return replace(bytes, at, 4, [bytes.length & 0xff, bytes.length >> 8, below(random, 2) * 0xff, 0]);
  }
}

function replace(
  bytes: Uint8Array,
  at: number,
  removed: number,
  inserted: readonly number[],
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...bytes.subarray(0, at), ...inserted, ...bytes.subarray(at + removed)]);
}

function below(random: Random, limit: number): number {
  return Math.floor(random.next() * limit);
}
