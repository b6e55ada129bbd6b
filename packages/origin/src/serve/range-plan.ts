import { type ByteRange, parseRangeHeader, rangeLength } from "@ckmesh/core";

/** Which bytes of a file go out, and what is written around them. */
export type RangePlan =
  | { readonly type: "full"; readonly length: number }
  | { readonly type: "single"; readonly range: ByteRange; readonly length: number }
  | {
      readonly type: "multiple";
      readonly parts: readonly MultipartPart[];
      /** After the last part. */
      readonly closing: string;
      /** Of the whole body, with all that is written around the parts. */
      readonly length: number;
      readonly boundary: string;
    }
  | { readonly type: "unsatisfiable" };

interface MultipartPart {
  /** Separator and header fields before the bytes. */
  readonly heading: string;
  readonly range: ByteRange;
}

/**
 * Plans the answer to a Range header (RFC 9110 §14.2, §14.6). Ranges that together ask for more than the
 * file holds are no use to anybody: they are answered as if there was no Range.
 * @param header undefined when it is absent or must not count
 * @param boundary for several parts; must not occur in the data, so it is random
 */
export function planRange(
  header: string | undefined,
  size: number,
  contentType: string,
  boundary: () => string,
): RangePlan {
  const ranges = header === undefined ? undefined : parseRangeHeader(header, size);
  if (ranges === undefined) return { type: "full", length: size };
  const [first, ...others] = ranges;
  if (first === undefined) return { type: "unsatisfiable" };
  if (others.length === 0) return { type: "single", range: first, length: rangeLength(first) };
  if (ranges.reduce((sum, range) => sum + rangeLength(range), 0) > size)
    return { type: "full", length: size };
  const mark = boundary();
  const parts = ranges.map((range) => ({
    range,
    heading: `\r\n--${mark}\r\nContent-Type: ${contentType}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
  }));
  const closing = `\r\n--${mark}--\r\n`;
  const length = parts.reduce(
    (sum, part) => sum + part.heading.length + rangeLength(part.range),
    closing.length,
  );
  return { type: "multiple", parts, closing, length, boundary: mark };
}

/** `bytes FIRST-LAST/SIZE` */
export function contentRange(range: ByteRange, size: number): string {
  return `bytes ${range.first}-${range.last}/${size}`;
}
