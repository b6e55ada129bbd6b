import { isAppError, randomInt, seededRandom } from "@ckmesh/core";
import { Encoder } from "@toondepauw/node-zstd";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DictionaryDecoder } from "../src/delta/dictionary-decoder.js";
import { createCodec } from "../src/pack/codec.js";

const FRAME = 65_536;
const PREFIX = 8;

/** 8 zero bytes, then content that nothing but itself resembles. */
function dictionaryOf(seed: number, start: readonly number[] = []): Buffer {
  const random = seededRandom(seed);
  const content = Buffer.from(Array.from({ length: FRAME }, () => randomInt(random, 256)));
  content.set(start);
  return Buffer.concat([Buffer.alloc(PREFIX), content]);
}

describe("DictionaryDecoder", () => {
  it("unpacks what the native codec packed, with one dictionary after the other and without", async () => {
    const decoder = await DictionaryDecoder.create();
    const plain = Buffer.alloc(FRAME, "some text that repeats, and more. ");
    const packed = createCodec(3).pack(plain);
    for (const dictionary of [dictionaryOf(1), dictionaryOf(2, [0x37, 0xa4, 0x30, 0xec])]) {
      const raw = dictionary.subarray(PREFIX);
      const delta = new Encoder(3, dictionary).encodeSync(raw);
      expect(delta.length).toBeLessThan(100);
      expect(Buffer.compare(decoder.unpack(delta, FRAME, dictionary), raw)).toBe(0);
      expect(Buffer.compare(decoder.unpack(packed, FRAME), plain)).toBe(0);
    }
    expect(decoder.unpack(plain, FRAME), "a stored frame").toBe(plain);
  });

  it("gives that many bytes or an AppError for any damage, and then goes on", async () => {
    const decoder = await DictionaryDecoder.create();
    const dictionary = dictionaryOf(3);
    const raw = Buffer.concat([
      dictionary.subarray(PREFIX, FRAME / 2),
      Buffer.alloc(FRAME / 2 + PREFIX, "text "),
    ]);
    const good = new Encoder(3, dictionary).encodeSync(raw);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ flip;
        let length: unknown;
        try {
          length = decoder.unpack(bad, raw.length, dictionary).length;
        } catch (err) {
          length = isAppError(err, "ERR_PACK_INVALID") ? raw.length : err;
        }
        expect(length).toBe(raw.length);
      }),
    );
    expect(Buffer.compare(decoder.unpack(good, raw.length, dictionary), raw)).toBe(0);
  });
});
