import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codecFingerprint, createCodec } from "../../src/pack/codec.js";

const codec = createCodec(3);

describe("createCodec", () => {
  it.each([1, 3, 9, 12])("unpacks what it packed at level %i", (level) => {
    const other = createCodec(level);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.integer({ min: 1, max: 16 }),
        (bytes, times) => {
          const raw = Buffer.concat(Array.from({ length: times }, () => bytes)).subarray(0, 65_536);
          const packed = other.pack(raw);
          expect(packed.length).toBeLessThanOrEqual(raw.length);
          expect(Buffer.compare(codec.unpack(packed, raw.length), raw)).toBe(0);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("stores what does not become smaller", () => {
    const raw = Uint8Array.of(1, 2, 3);
    expect(codec.pack(raw)).toBe(raw);
    expect(codec.unpack(raw, 3)).toBe(raw);
  });

  it("refuses the 65,538-byte frame that decodes to 2.1 GB, without decoding it", () => {
    const block = [0x02, 0x00, 0x10, 0]; // run-length, 128 KiB of zeros
    const blocks = Array.from({ length: 16_383 }, (_, i) => (i === 16_382 ? [0x03, 0x00, 0x10, 0] : block));
    const bomb = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, ...blocks.flat()]);
    const before = process.memoryUsage().rss;
    expect(bomb).toHaveLength(65_538);
    expect(() => codec.unpack(bomb, 65_540)).toThrow(expect.objectContaining({ code: "ERR_PACK_INVALID" }));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  it("refuses a frame of another length than the index says", () => {
    const packed = codec.pack(Buffer.alloc(8192, "abc"));
    expect(() => codec.unpack(packed, 4096)).toThrow(expect.objectContaining({ code: "ERR_PACK_INVALID" }));
    expect(() => codec.unpack(packed, 12_288)).toThrow(expect.objectContaining({ code: "ERR_PACK_INVALID" }));
  });

  it("gives the raw bytes or an AppError for any damage", () => {
    const raw = Buffer.alloc(16_384, "some text that repeats, and more. ");
    const good = codec.pack(raw);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ flip;
        let length: unknown;
        try {
          length = codec.unpack(bad, raw.length).length;
        } catch (err) {
          length = isAppError(err, "ERR_PACK_INVALID") ? raw.length : err;
        }
        expect(length).toBe(raw.length);
      }),
    );
  });
});

describe("codecFingerprint", () => {
  it("is the same each time and another at each level", () => {
    const prints = [1, 3, 9].map((level) => Buffer.from(codecFingerprint(level)).toString("hex"));
    expect(new Set(prints).size).toBe(3);
    expect(Buffer.from(codecFingerprint(3)).toString("hex")).toBe(prints[1]);
  });
});
