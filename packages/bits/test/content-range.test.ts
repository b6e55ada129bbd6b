import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatFragmentRange, fragmentLength, parseFragmentRange } from "../src/content-range.js";
import { BitsFault, type Fragment, HRESULT } from "../src/index.js";
import { faultOf, outcomeOf } from "./thrown.js";

function isSound(outcome: Fragment | Error, length: number): boolean {
  if (outcome instanceof Error) return false;
  const { first, last, total } = outcome;
  return first <= last && last < total && last - first + 1 === length && Number.isSafeInteger(total);
}

describe("the Content-Range of a fragment", () => {
  it("comes back from its text, whatever the range", () => {
    const size = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(size, size, size, (a, b, c) => {
        const [first = 0, last = 0, total = 0] = [a, b, c].toSorted((x, y) => x - y);
        const fragment = { first: first - 1, last: last - 1, total };
        expect(parseFragmentRange(formatFragmentRange(fragment), fragmentLength(fragment))).toEqual(fragment);
      }),
    );
  });

  it("is a fragment or a BitsFault, whatever the text", () => {
    const text = fc.oneof(
      fc.string(),
      fc.stringMatching(/^bytes[ \t]*[-+*\d. ]{0,24}-[-+*\d. ]{0,24}\/[-+*\d. ]{0,24}$/),
    );
    fc.assert(
      fc.property(text, fc.nat(), (header, length) => {
        const outcome = outcomeOf(() => parseFragmentRange(header, length));
        expect(outcome instanceof BitsFault || isSound(outcome, length)).toBe(true);
      }),
    );
  });

  it.each([
    "bytes 5-9/10",
    "Bytes 5-9/10",
    "BYTES 5-9/10",
    "bytes  5 - 9 / 10",
    "bytes\t5-9/10 ",
    "bytes 05-009/0010",
    "bytes 00000000000000000005-9/10",
  ])("may be written %j", (header) => {
    expect(parseFragmentRange(header, 5)).toEqual({ first: 5, last: 9, total: 10 });
  });

  it.each([
    ["missing", "", 5],
    ["another unit", "items 5-9/10", 5],
    ["no blank", "bytes5-9/10", 5],
    ["an equals sign", "bytes=5-9/10", 5],
    ["a plus", "bytes +5-9/10", 5],
    ["a minus", "bytes -5-9/10", 5],
    ["an unknown total", "bytes 5-9/*", 5],
    ["an unknown range", "bytes */10", 5],
    ["hexadecimal digits", "bytes 0x5-9/10", 5],
    ["a fraction", "bytes 5.0-9/10", 5],
    ["an exponent", "bytes 5-9/1e1", 5],
    ["no total", "bytes 5-9", 5],
    ["no end", "bytes 5-/10", 5],
    ["two ranges", "bytes 0-4/10, bytes 5-9/10", 5],
    ["digits of another script", "bytes ٥-9/10", 5],
    ["21 digits", "bytes 000000000000000000005-9/10", 5],
    ["A > B", "bytes 9-5/10", 5],
    ["B = TOTAL", "bytes 5-10/10", 6],
    ["B > TOTAL", "bytes 5-11/10", 7],
    ["a total of 0", "bytes 0-0/0", 1],
    ["a length above Content-Length", "bytes 5-9/10", 4],
    ["a length below Content-Length", "bytes 5-9/10", 6],
    ["no body", "bytes 5-9/10", 0],
    ["a total of 2^63", "bytes 0-4/9223372036854775808", 5],
    ["a total of 2^64", "bytes 0-4/18446744073709551616", 5],
  ])("with %s is answered 400 and E_INVALIDARG: %s", (_, header, length) => {
    expect(faultOf(() => parseFragmentRange(header, length))).toMatchObject({
      code: "ERR_BITS_PACKET_INVALID",
      status: 400,
      hresult: HRESULT.invalidArgument,
    });
  });

  it.each(["9007199254740992", "9223372036854775807"])(
    "with a total of %s, beyond safe integers, is answered 500 and BG_E_TOO_LARGE",
    (total) => {
      expect(faultOf(() => parseFragmentRange(`bytes 0-4/${total}`, 5))).toMatchObject({
        code: "ERR_UPLOAD_TOO_LARGE",
        status: 500,
        hresult: HRESULT.tooLarge,
      });
    },
  );

  it("takes the largest safe total", () => {
    const total = Number.MAX_SAFE_INTEGER;
    expect(parseFragmentRange(`bytes ${total - 5}-${total - 1}/${total}`, 5).total).toBe(total);
  });

  it("of two positions that are equal as doubles only is refused", () => {
    expect(
      faultOf(() => parseFragmentRange("bytes 9007199254740993-9007199254740992/9007199254740994", 1)).status,
    ).toBe(400);
  });
});
