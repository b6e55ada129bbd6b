import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkPackHeader, encodePackHeader, hasPackMagic, IndexFile, indexLength } from "../src/index.js";
import { decodeKept } from "../src/kept-frames.js";
import { memorySource, sampleIndex } from "./sample-index.js";

const built = sampleIndex([], 300);
const good = Buffer.concat(built.parts);

describe("IndexFile", () => {
  it("opens an index and proves each section", async () => {
    const index = await IndexFile.open(memorySource(good));
    const map = await index.map();
    expect(indexLength(index.head)).toBe(good.length);
    expect(Buffer.compare(index.signed.id, built.id)).toBe(0);
    expect((await index.frames()).count).toBe(300);
    expect(map.next()).toBe(true);
    expect([map.position, map.count, map.sector]).toEqual([0, 300, 0]);
    expect(map.next()).toBe(false);
    expect(await index.section("ids")).toHaveLength(0);
  });

  it.each([
    ["is truncated", good.subarray(0, good.length - 1)],
    ["has a trailing byte", Buffer.concat([good, Buffer.alloc(1)])],
    ["ends within its head", good.subarray(0, 4000)],
  ])("refuses an index that %s with ERR_INDEX_INVALID", async (_, bytes) => {
    await expect(IndexFile.open(memorySource(bytes))).rejects.toMatchObject({ code: "ERR_INDEX_INVALID" });
  });

  it("notices every flipped bit behind the head, with an AppError", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 4096, max: good.length - 1 }), fc.nat(7), async (at, bit) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ (1 << bit);
        await expect(readAll(bad)).rejects.toSatisfy((err) => isAppError(err, "ERR_INDEX_INVALID"));
      }),
      { numRuns: 100 },
    );
  });
});

async function readAll(bytes: Uint8Array): Promise<void> {
  const index = await IndexFile.open(memorySource(bytes));
  for (const { kind } of index.head.sections) await index.section(kind);
}

describe("pack header", () => {
  const signed = { head: built.head, id: built.id, idHex: "", headBytes: new Uint8Array(0), signatures: [] };

  it("ties a pack to its index by length and version id", () => {
    const header = encodePackHeader(built.head.pack.length, built.id);
    checkPackHeader(header, signed);
    expect([header.length, hasPackMagic(header)]).toEqual([64, true]);
  });

  it.each([0, 4, 6, 8, 16, 47, 48, 63])("refuses another byte at %i with ERR_PACK_INVALID", (at) => {
    const header = Uint8Array.from(encodePackHeader(built.head.pack.length, built.id));
    header[at] = (header[at] ?? 0) ^ 1;
    expect(() => checkPackHeader(header, signed)).toThrow(
      expect.objectContaining({ code: "ERR_PACK_INVALID" }),
    );
  });
});

describe("decodeKept", () => {
  const head = { ...built.head, counts: { frames: 3, sectors: 3, kept: 2 } };

  it("reads one bit per frame of the previous version", () => {
    const kept = decodeKept(Uint8Array.of(0b1000_0000, 0b0100_0000), head, 10);
    expect([kept.has(0), kept.has(8), kept.has(9)]).toEqual([true, false, true]);
  });

  it.each<[string, readonly number[]]>([
    ["bits behind the last frame", [0b1000_0000, 0b0110_0000]],
    ["another count than the head", [0b1000_0000, 0]],
    ["another length", [0b1100_0000]],
  ])("refuses %s with ERR_INDEX_INVALID", (_, bytes) => {
    expect(() => decodeKept(Uint8Array.from(bytes), head, 10)).toThrow(
      expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
    );
  });
});
