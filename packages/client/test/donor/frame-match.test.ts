import { sha256 } from "@ckmesh/core";
import type { FrameTable } from "@ckmesh/image";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchFrames } from "../../src/donor/frame-match.js";

type Table = Pick<FrameTable, "count" | "hash" | "packedLength">;

/** A table whose frames hold the given contents. */
function tableOf(contents: readonly number[]): Table {
  const hashes = contents.map((content) => sha256(Uint8Array.of(content)));
  return {
    count: contents.length,
    hash: (frame) => hashes[frame] ?? new Uint8Array(32),
    packedLength: (frame) => 100 + (contents[frame] ?? 0),
  };
}

const count = (list: readonly number[], content: number): number => list.filter((c) => c === content).length;

describe("matchFrames", () => {
  it("pairs frames of equal content one to one, as many as there are", async () => {
    const contents = fc.array(fc.nat(40), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(contents, contents, async (donor, target) => {
        const { targetOf, donorOf } = await matchFrames(tableOf(donor), tableOf(target));
        const pairs = [...targetOf].flatMap((to, from) => (to < 0 ? [] : [[from, to] as const]));
        for (const [from, to] of pairs) expect([donor[from], donorOf[to]]).toEqual([target[to], from]);
        const common = new Set(donor.filter((content) => target.includes(content)));
        const expected = [...common].reduce((sum, c) => sum + Math.min(count(donor, c), count(target, c)), 0);
        expect(pairs).toHaveLength(expected);
      }),
    );
  });

  it("takes no longer for hashes that were made to collide", async () => {
    const same = new Uint8Array(32);
    const colliding: Table = {
      count: 20_000,
      hash: (frame) => Uint8Array.of(0, 0, 0, 0, frame & 255, frame >> 8),
      packedLength: () => 100,
    };
    const other: Table = { count: 20_000, hash: () => same, packedLength: () => 100 };
    const { targetOf } = await matchFrames(other, colliding);
    expect(targetOf.every((frame) => frame === -1)).toBe(true);
  });
});
