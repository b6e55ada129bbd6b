import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codecFingerprint, createCodec } from "../../src/pack/codec.js";
import { FrameDecoder } from "../../src/pack/frame-decoder.js";

describe("createCodec", () => {
  it.each([1, 3, 9, 12])("packs at level %i what the decoder unpacks", async (level) => {
    const codec = createCodec(level);
    const decoder = await FrameDecoder.create();
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.integer({ min: 1, max: 16 }),
        (bytes, times) => {
          const raw = Buffer.concat(Array.from({ length: times }, () => bytes)).subarray(0, 65_536);
          const packed = codec.pack(raw);
          expect(packed.length).toBeLessThanOrEqual(raw.length);
          expect(Buffer.compare(decoder.unpack(packed, raw.length), raw)).toBe(0);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("stores what does not become smaller", () => {
    const raw = Uint8Array.of(1, 2, 3);
    expect(createCodec(3).pack(raw)).toBe(raw);
  });
});

describe("codecFingerprint", () => {
  it("is the same each time and another at each level", () => {
    const prints = [1, 3, 9].map((level) => Buffer.from(codecFingerprint(level)).toString("hex"));
    expect(new Set(prints).size).toBe(3);
    expect(Buffer.from(codecFingerprint(3)).toString("hex")).toBe(prints[1]);
  });
});
