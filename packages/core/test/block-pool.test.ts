import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockPool } from "../src/block-pool.js";
import { KIB, MIB } from "../src/units.js";

/** The longest that is taken from a block. */
const LONGEST = MIB + 16;
const MOST_FREE = 4;

const buffersOf = (all: readonly Uint8Array[]): Set<ArrayBufferLike> => new Set(all.map((b) => b.buffer));

describe("BlockPool", () => {
  it("gives the same memory again, at any length that fits", () => {
    const pool = new BlockPool();
    const first = pool.take(LONGEST);
    pool.give(first);
    const second = pool.take(128 * KIB);
    expect(second.byteLength).toBe(128 * KIB);
    expect(second.buffer).toBe(first.buffer);
  });

  it("takes a block back by any view of it", () => {
    const pool = new BlockPool();
    const message = pool.take(MIB);
    pool.give(new Uint8Array(message.buffer, 13, 5));
    expect(pool.take(MIB).buffer).toBe(message.buffer);
  });

  it("hands out a block that was given back twice only once", () => {
    const pool = new BlockPool();
    const bytes = pool.take(MIB);
    pool.give(bytes);
    pool.give(bytes);
    expect(buffersOf([pool.take(MIB), pool.take(MIB)]).size).toBe(2);
  });

  it("takes nothing that is not its own", () => {
    const pool = new BlockPool();
    const foreign = new Uint8Array(LONGEST);
    const shared = new Uint8Array(new SharedArrayBuffer(LONGEST));
    const others = new BlockPool().take(MIB);
    for (const bytes of [foreign, shared, others]) pool.give(bytes);
    const taken = Array.from({ length: 3 }, () => pool.take(MIB));
    expect(buffersOf([foreign, shared, others, ...taken]).size).toBe(6);
  });

  it("keeps few unused blocks and frees the others, however many are given back", () => {
    const pool = new BlockPool();
    const taken = Array.from({ length: 3 * MOST_FREE }, () => pool.take(MIB));
    for (const bytes of taken) pool.give(bytes);
    const again = Array.from({ length: 3 * MOST_FREE }, () => pool.take(MIB));
    const before = buffersOf(taken);
    expect(again.filter((b) => before.has(b.buffer))).toHaveLength(MOST_FREE);
    expect(taken.filter((b) => b.buffer.byteLength > 0)).toHaveLength(MOST_FREE);
  });

  it("lets what is too long or short for a block go to the garbage collector", () => {
    const pool = new BlockPool();
    for (const length of [0, 1, 128 * KIB - 1, LONGEST + 1]) {
      const bytes = pool.take(length);
      expect(bytes.byteLength).toBe(length);
      pool.give(bytes);
      expect(pool.take(MIB).buffer).not.toBe(bytes.buffer);
    }
  });

  it("never touches bytes that somebody still has, whatever is taken and given back in between", () => {
    const length = fc.integer({ min: 1, max: LONGEST });
    const step = fc.record({ isTake: fc.boolean(), length, which: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const pool = new BlockPool();
        const held: { bytes: Uint8Array; mark: number }[] = [];
        steps.forEach(({ isTake, length: wanted, which }, mark) => {
          if (isTake) {
            const bytes = pool.take(wanted);
            // Both ends tell: two owners of one block would overlap at its beginning.
            bytes[0] = mark;
            bytes[bytes.byteLength - 1] = mark;
            held.push({ bytes, mark });
          } else if (held.length > 0) {
            for (const { bytes } of held.splice(which % held.length, 1)) pool.give(bytes);
          }
          for (const { bytes, mark: own } of held) {
            expect(bytes[0]).toBe(own);
            expect(bytes.at(-1)).toBe(own);
          }
        });
        const blocks = held.filter(({ bytes }) => bytes.byteLength >= 128 * KIB).map(({ bytes }) => bytes);
        expect(buffersOf(blocks).size).toBe(blocks.length);
      }),
      { numRuns: 50 },
    );
  });
});
