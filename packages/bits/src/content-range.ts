import { type BitsFault, invalidPacket, uploadTooLarge } from "./bits-fault.js";
import type { Fragment } from "./packet.js";

/** [MC-BUP] 2.2.6: positions are 64-bit, and no file system goes beyond a signed one. */
const MAX_POSITION = 2n ** 63n - 1n;

/**
 * `bytes A-B/TOTAL`: the unit in any case, blanks between the parts, plain digits, at most 20 of them (2^64 has as
 * many).
 */
const SYNTAX = /^[ \t]*bytes[ \t]+(\d{1,20})[ \t]*-[ \t]*(\d{1,20})[ \t]*\/[ \t]*(\d{1,20})[ \t]*$/i;

/**
 * Reads the Content-Range of a fragment whose body is `contentLength` bytes long.
 * @throws {BitsFault} 400 for wrong syntax, an empty or reversed range, an end beyond the total, another length than
 *   the body's, or positions beyond 2^63-1; 500 with BG_E_TOO_LARGE for a total that is no safe integer
 */
export function parseFragmentRange(header: string, contentLength: number): Fragment {
  const m = SYNTAX.exec(header);
  if (m === null) throw malformed("is not of the form bytes A-B/TOTAL");
  const [first, last, total] = [BigInt(m[1] ?? ""), BigInt(m[2] ?? ""), BigInt(m[3] ?? "")];
  if (first > last) throw malformed("ends before it begins");
  if (last >= total) throw malformed("ends beyond the total");
  if (last - first + 1n !== BigInt(contentLength)) throw malformed("and Content-Length differ");
  if (total > MAX_POSITION) throw malformed("goes beyond 2^63-1");
  if (total > Number.MAX_SAFE_INTEGER) throw uploadTooLarge(total, Number.MAX_SAFE_INTEGER);
  return { first: Number(first), last: Number(last), total: Number(total) };
}

function malformed(what: string): BitsFault {
  return invalidPacket(`Content-Range ${what}`);
}

export function formatFragmentRange(fragment: Fragment): string {
  return `bytes ${fragment.first}-${fragment.last}/${fragment.total}`;
}

export function fragmentLength(fragment: Fragment): number {
  return fragment.last - fragment.first + 1;
}
