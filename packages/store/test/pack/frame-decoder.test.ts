import { isAppError, randomInt, seededRandom } from "@ckmesh/core";
import { Encoder } from "@toondepauw/node-zstd";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { createCodec } from "../../src/pack/codec.js";
import { FrameDecoder } from "../../src/pack/frame-decoder.js";
import { DictionaryArea, NO_AREA, ZstdWasm } from "../../src/pack/zstd-wasm.js";

const FRAME = 65_536;
const PREFIX = 8;
const codec = createCodec(3);

/** 8 zero bytes, then content that nothing but itself resembles. */
function dictionaryOf(seed: number, start: readonly number[] = []): Buffer {
  const random = seededRandom(seed);
  const content = Buffer.from(Array.from({ length: FRAME }, () => randomInt(random, 256)));
  content.set(start);
  return Buffer.concat([Buffer.alloc(PREFIX), content]);
}

describe("FrameDecoder", () => {
  it("unpacks what the native codec packed, with one dictionary after the other and without", async () => {
    const decoder = await FrameDecoder.create();
    const area = new DictionaryArea(await ZstdWasm.load());
    const plain = Buffer.alloc(FRAME, "some text that repeats, and more. ");
    const packed = codec.pack(plain);
    for (const dictionary of [dictionaryOf(1), dictionaryOf(2, [0x37, 0xa4, 0x30, 0xec])]) {
      const raw = dictionary.subarray(PREFIX);
      const delta = new Encoder(3, dictionary).encodeSync(raw);
      expect(delta.length).toBeLessThan(100);
      const unpacked = decoder.unpack(delta, FRAME, area.fill(dictionary));
      expect(Buffer.compare(unpacked, raw)).toBe(0);
      expect(Buffer.compare(decoder.unpack(packed, FRAME), plain)).toBe(0);
    }
    expect(decoder.unpack(plain, FRAME), "a stored frame").toBe(plain);
  });

  it("gives the same bytes when its memory has grown in between", async () => {
    const decoder = await FrameDecoder.create();
    const plain = Buffer.alloc(FRAME, "some text that repeats, and more. ");
    const packed = codec.pack(plain);
    const zstd = await ZstdWasm.load();
    const before = decoder.unpack(packed, FRAME);
    expect(Buffer.compare(before, plain)).toBe(0);
    for (let i = 0; i < 3; i += 1) {
      zstd.allocate(16 << 20);
      expect(Buffer.compare(decoder.unpack(packed, FRAME), plain)).toBe(0);
    }
    expect(before, "a view of the memory as it was").toHaveLength(0);
  });

  it("gives that many bytes or an AppError for any damage, with a dictionary and without, and then goes on", async () => {
    const decoder = await FrameDecoder.create();
    const dictionary = dictionaryOf(3);
    const raw = Buffer.concat([
      dictionary.subarray(PREFIX, FRAME / 2),
      Buffer.alloc(FRAME / 2 + PREFIX, "text "),
    ]);
    const used = new DictionaryArea(await ZstdWasm.load()).fill(dictionary);
    const withIt = { good: new Encoder(3, dictionary).encodeSync(raw), used };
    for (const { good, used: area } of [withIt, { good: codec.pack(raw), used: undefined }]) {
      fc.assert(
        fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
          const bad = Buffer.from(good);
          bad[at] = (bad[at] ?? 0) ^ flip;
          let length: unknown;
          try {
            length = decoder.unpack(bad, raw.length, area).length;
          } catch (err) {
            length = isAppError(err, "ERR_PACK_INVALID") ? raw.length : err;
          }
          expect(length).toBe(raw.length);
        }),
      );
      expect(Buffer.compare(decoder.unpack(good, raw.length, area), raw)).toBe(0);
    }
  });

  it("refuses the 65,538-byte frame that decodes to 2.1 GB, without decoding it", async () => {
    const decoder = await FrameDecoder.create();
    const zstd = await ZstdWasm.load();
    const block = [0x02, 0x00, 0x10, 0]; // run-length, 128 KiB of zeros
    const blocks = Array.from({ length: 16_383 }, (_, i) => (i === 16_382 ? [0x03, 0x00, 0x10, 0] : block));
    const bomb = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, ...blocks.flat()]);
    const memoryBytes = (): number => zstd.bytes(NO_AREA).buffer.byteLength;
    const before = memoryBytes();
    expect(bomb).toHaveLength(65_538);
    expect(() => decoder.unpack(bomb, FRAME)).toThrow(expect.objectContaining({ code: "ERR_PACK_INVALID" }));
    expect(memoryBytes()).toBe(before);
  });

  it("calls no frame damaged because WebAssembly fails or has no memory", async () => {
    const decoder = await FrameDecoder.create();
    const zstd = await ZstdWasm.load();
    const packed = codec.pack(Buffer.alloc(FRAME, "abc"));
    const trap = new Error("memory access out of bounds");
    const failing = vi.spyOn(zstd, "decompress").mockImplementation(() => {
      throw trap;
    });
    expect(() => decoder.unpack(packed, FRAME)).toThrow(trap);
    failing.mockRestore();
    expect(() => zstd.allocate(2 ** 32 - 4096)).toThrow(expect.objectContaining({ code: "ERR_INTERNAL" }));
    expect(decoder.unpack(packed, FRAME)).toHaveLength(FRAME);
  });

  it("refuses a frame of another length than the index says", async () => {
    const decoder = await FrameDecoder.create();
    const packed = codec.pack(Buffer.alloc(8192, "abc"));
    for (const length of [4096, 12_288]) {
      expect(() => decoder.unpack(packed, length)).toThrow(
        expect.objectContaining({ code: "ERR_PACK_INVALID" }),
      );
    }
  });
});
