/** Byte positions, both inclusive, as in RFC 9110 §14. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/** Bytes in a range. */
export function rangeLength(range: ByteRange): number {
  return range.last - range.first + 1;
}

/** More ranges than this in one header are answered as if there was none (RFC 9110 §14.2 allows it). */
export const MAX_RANGES = 64;

/**
 * Parses a Range header against a representation of `size` bytes (RFC 9110 §14.1.2, §14.2).
 * @returns undefined when the header must be ignored (other unit, malformed, too many ranges),
 *   an empty array when no range can be satisfied (416), else the satisfiable ranges in the order asked.
 */
export function parseRangeHeader(header: string, size: number): readonly ByteRange[] | undefined {
  const spec = /^bytes\s*=\s*(.+)$/i.exec(header)?.[1];
  if (spec === undefined) return undefined;
  const parts = spec.split(",");
  if (parts.length > MAX_RANGES) return undefined;
  const ranges: ByteRange[] = [];
  let seen = 0;
  for (const part of parts) {
    const text = part.trim();
    if (text === "") continue;
    seen += 1;
    const m = /^(\d{0,15})-(\d{0,15})$/.exec(text);
    if (m === null || (m[1] === "" && m[2] === "")) return undefined;
    const [from, to] = [m[1] === "" ? undefined : Number(m[1]), m[2] === "" ? undefined : Number(m[2])];
    if (from !== undefined && to !== undefined && from > to) return undefined;
    const first = from ?? Math.max(0, size - (to ?? 0));
    const last = from === undefined ? size - 1 : Math.min(to ?? size - 1, size - 1);
    if (first <= last && !(from === undefined && to === 0)) ranges.push({ first, last });
  }
  return seen === 0 ? undefined : ranges;
}

/** Parses `bytes FIRST-LAST/TOTAL` of a 206 answer (RFC 9110 §14.4); undefined when it is anything else. */
export function parseContentRange(header: string): (ByteRange & { readonly total: number }) | undefined {
  const m = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header);
  if (m === null) return undefined;
  const [first, last, total] = [Number(m[1]), Number(m[2]), Number(m[3])];
  return first <= last && last < total ? { first, last, total } : undefined;
}
