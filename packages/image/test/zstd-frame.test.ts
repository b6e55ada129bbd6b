import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkZstdFrame } from "../src/index.js";
import { outcome } from "./outcome.js";

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const RAW = 0;
const RLE = 1;

/** A block header and its content. */
function block(type: number, size: number, isLast = true): readonly number[] {
  const header = (size << 3) | (type << 1) | (isLast ? 1 : 0);
  const content = type === RLE ? [0] : Array.from({ length: size }, () => 7);
  return [header & 0xff, (header >> 8) & 0xff, header >> 16, ...content];
}

/** A frame with a 2-MiB window and no content size, as the streaming encoder writes them. */
function frame(...blocks: (readonly number[])[]): Uint8Array {
  return Uint8Array.from([...MAGIC, 0x00, 0x58, ...blocks.flat()]);
}

const refused = expect.objectContaining({ code: "ERR_PACK_INVALID" });

describe("checkZstdFrame", () => {
  it("accepts one frame of raw, run-length and compressed blocks", () => {
    const frames = [
      frame(block(RAW, 10)),
      frame(block(RLE, 4096)),
      frame(block(RAW, 10, false), block(2, 50)),
    ];
    for (const packed of frames) expect(outcome(() => checkZstdFrame(packed, 4096))).toBe("ok");
  });

  it("accepts a declared size and a checksum", () => {
    const sized = Uint8Array.from([...MAGIC, 0x20, 9, ...block(RAW, 9)]);
    const checked = Uint8Array.from([...MAGIC, 0x64, 0x00, 0x0f, ...block(RLE, 4096), 1, 2, 3, 4]);
    expect(outcome(() => checkZstdFrame(sized, 9))).toBe("ok");
    expect(outcome(() => checkZstdFrame(checked, 4096))).toBe("ok");
  });

  it("refuses the 65,538-byte frame that decodes to 2.1 GB: too many blocks", () => {
    const blocks = Array.from({ length: 16_383 }, (_, i) => block(RLE, 128 * 1024, i === 16_382));
    const bomb = frame(...blocks);
    expect(bomb).toHaveLength(65_538);
    expect(() => checkZstdFrame(bomb, 65_536)).toThrow(refused);
  });

  it.each<[string, Uint8Array]>([
    ["run-length blocks above the raw length", frame(block(RLE, 4097))],
    ["17 blocks", frame(...Array.from({ length: 16 }, () => block(RAW, 1, false)), block(RAW, 1))],
    ["a skippable frame", Uint8Array.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0])],
    ["a frame behind the first", Uint8Array.from([...frame(block(RAW, 1)), ...frame(block(RAW, 1))])],
    ["a trailing byte", Uint8Array.from([...frame(block(RAW, 1)), 0])],
    ["a dictionary id", Uint8Array.from([...MAGIC, 0x01, 0x58, 5, ...block(RAW, 1)])],
    ["a reserved bit", Uint8Array.from([...MAGIC, 0x08, 0x58, ...block(RAW, 1)])],
    ["a window above 8 MiB", Uint8Array.from([...MAGIC, 0x00, 0x69, ...block(RAW, 1)])],
    ["another declared size", Uint8Array.from([...MAGIC, 0x20, 8, ...block(RAW, 8)])],
    ["a reserved block type", frame(block(3, 1))],
    ["a block above 128 KiB", frame(block(2, 128 * 1024 + 1))],
    ["more than 80 KiB", frame(block(2, 80 * 1024))],
    ["no last block", frame(block(RAW, 1, false))],
    ["nothing", new Uint8Array(0)],
  ])("refuses %s with ERR_PACK_INVALID", (_, packed) => {
    expect(() => checkZstdFrame(packed, 4096)).toThrow(refused);
  });

  it("refuses every truncation", () => {
    const good = frame(block(RAW, 20, false), block(RAW, 20));
    for (let length = 0; length < good.length; length += 1) {
      expect(() => checkZstdFrame(good.subarray(0, length), 4096)).toThrow(refused);
    }
  });

  it("throws nothing but AppErrors, for any bytes behind the magic", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.integer({ min: 1, max: 65_536 }),
        (bytes, rawLength) => {
          const packed = Uint8Array.from([...MAGIC, ...bytes]);
          expect(outcome(() => checkZstdFrame(packed, rawLength))).toMatch(/^(?:ok|ERR_PACK_INVALID)$/);
        },
      ),
    );
  });
});
