import { sha256 } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  FingerprintList,
  type FingerprintPlan,
  FingerprintTable,
  FRAME_RECORD_BYTES,
  FrameTable,
  framesMissingFrom,
  planFingerprints,
  ReferenceSearch,
  writeFrameRecord,
} from "../../src/index.js";

const SECTOR = 4096;

/** Bytes as good as random. */
function noise(length: number, seed: string): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 32)
    bytes.set(sha256(Buffer.from(`${seed} ${at}`)).subarray(0, length - at), at);
  return bytes;
}

function shared(plan: FingerprintPlan): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(4 * 2 ** plan.slotBits));
}

/** The fingerprints of a base. */
function scanBase(bytes: Uint8Array, sampleBits = 6): readonly number[] {
  const list = new FingerprintList(bytes.length);
  list.scanBase(bytes, sampleBits);
  return [...list.hashes.subarray(0, list.length)];
}

/** The fingerprints of what is compared with a base. */
function scan(bytes: Uint8Array, sampleBits = 6): readonly number[] {
  const list = new FingerprintList(bytes.length);
  list.scan(bytes, sampleBits);
  return [...list.hashes.subarray(0, list.length)];
}

/** Sixteen bits of noise in every word: alike enough for many words to be chosen. */
function poor(length: number): Uint8Array {
  return noise(length, "poor").map((byte, i) => (i % 4 < 2 ? byte : 0));
}

/** A table of all of a base, filled in the `order` of its pieces of 64 KiB. */
function fill(base: Uint8Array, order: readonly number[]): FingerprintTable {
  const plan = planFingerprints(base.length / SECTOR);
  const table = new FingerprintTable(plan, shared(plan));
  const list = new FingerprintList(1 << 16);
  for (const frame of order) {
    list.scanBase(base.subarray(frame << 16, (frame + 1) << 16), plan.sampleBits);
    table.add(list, frame << 16);
  }
  return table;
}

describe("fingerprints", () => {
  it("of a base are about one in 2^bits bytes, apart", () => {
    const found = scanBase(noise(1 << 16, "a")).length;
    expect(found).toBeGreaterThan(500);
    expect(found).toBeLessThan(1100);
    expect(scanBase(noise(31, "a"), 3)).toEqual([]);
    expect(scan(noise(31, "a"), 3)).toEqual([]);
    expect(scanBase(noise(32, "a"), 3).length).toBeLessThanOrEqual(1);
    expect(scanBase(poor(1 << 16), 3).length).toBeLessThanOrEqual(2048);
  });

  it("of a base are found in all that has its content, wherever it lies", () => {
    const content = noise(8192, "b");
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5000 }), fc.nat(3), (distance, start) => {
        const base = Buffer.concat([noise(start * 4, "c"), content]);
        const moved = Buffer.concat([noise(distance, "before"), content]);
        const found = new Set(scan(moved));
        const expected = scanBase(base.subarray(start * 4));
        expect(expected.length).toBeGreaterThan(60);
        expect(expected.filter((hash) => !found.has(hash))).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it("are the same whether bytes lie on words in memory or not", () => {
    const content = noise(4096, "d");
    const shifted = new Uint8Array(4097);
    shifted.set(content, 1);
    expect(scanBase(shifted.subarray(1))).toEqual(scanBase(content));
  });

  it("do not count twice in a run of one byte", () => {
    for (let byte = 0; byte < 256; byte += 15) {
      expect(scan(new Uint8Array(1 << 16).fill(byte), 3).length).toBeLessThanOrEqual(1);
    }
  });
});

describe("planFingerprints", () => {
  it.each([
    [1, { sampleBits: 7, slotBits: 10 }],
    [110_000, { sampleBits: 7, slotBits: 23 }],
    [20e9 / SECTOR, { sampleBits: 11, slotBits: 24 }],
    [2 ** 27, { sampleBits: 16, slotBits: 24 }],
  ])("samples %d sectors so that at most 64 MiB of table do", (sectors, expected) => {
    const plan = planFingerprints(Math.ceil(sectors));
    expect(plan).toMatchObject(expected);
    expect(plan.checkBits).toBeGreaterThanOrEqual(6);
    // The last bucket of the base still fits an entry.
    const table = new FingerprintTable(plan, shared(plan));
    const last = Math.floor((Math.ceil(sectors) - 1) / 4);
    const list = new FingerprintList(1);
    list.hashes[0] = 0xffff_ffff;
    list.length = 1;
    table.add(list, last * 4 * SECTOR);
    const buckets = new Uint32Array(1);
    expect(table.find(list, buckets)).toBe(1);
    expect(buckets[0]).toBe(last);
  });
});

describe("ReferenceSearch", () => {
  const base = noise(64 * (1 << 16), "base");
  const all = Array.from({ length: 64 }, (_, i) => i);

  it("finds the sectors that a frame resembles, moved and patched as it may be", () => {
    const search = new ReferenceSearch(fill(base, all), base.length / SECTOR);
    const raw = new Uint8Array(1 << 16);
    raw.set(base.subarray(100_000, 100_000 + 30_000), 17);
    raw.set(base.subarray(3_000_000, 3_000_000 + 30_000), 32_001);
    raw.fill(7, 20_000, 20_010);
    const named = new Set(search.find(raw).flatMap(({ first, count }) => range(first, count)));
    const wanted = [...range(26, 6), ...range(734, 6)];
    expect(wanted.filter((sector) => !named.has(sector))).toEqual([]);
    expect(named.size).toBeLessThanOrEqual(32);
  });

  it("finds nothing for content that is new", () => {
    const search = new ReferenceSearch(fill(base, all), base.length / SECTOR);
    expect(search.find(noise(1 << 16, "new"))).toEqual([]);
  });

  it("gives rising runs apart, at most 8 of them with 32 sectors that the base has", () => {
    const odd = base.subarray(0, 37 * SECTOR);
    const search = new ReferenceSearch(fill(odd, [0, 1, 2]), 37);
    const parts = fc.array(fc.tuple(fc.nat(36 * SECTOR), fc.integer({ min: 64, max: 9000 })), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(parts, (pieces) => {
        const raw = Buffer.concat(pieces.map(([at, length]) => odd.subarray(at, at + length)));
        const runs = search.find(raw.subarray(0, 1 << 16));
        let end = -1;
        let sectors = 0;
        for (const { first, count } of runs) {
          expect(first).toBeGreaterThan(end);
          end = first + count;
          sectors += count;
        }
        expect(end).toBeLessThanOrEqual(37);
        expect(sectors).toBeLessThanOrEqual(32);
        expect(runs.length).toBeLessThanOrEqual(8);
      }),
    );
  });

  it("does not depend on the order in which the base was read", () => {
    const doubled = Buffer.concat([base, base]);
    const pieces = Array.from({ length: 128 }, (_, i) => i);
    const [one, other] = [fill(doubled, pieces), fill(doubled, pieces.toReversed())].map((table) =>
      new ReferenceSearch(table, doubled.length / SECTOR).find(base.subarray(5000, 5000 + (1 << 16))),
    );
    expect(one).toEqual(other);
    expect(one).not.toEqual([]);
  });
});

describe("framesMissingFrom", () => {
  it("names the frames that the base does not have, whatever their places", () => {
    const ids = fc.array(fc.nat(40), { maxLength: 60 });
    fc.assert(
      fc.property(ids, ids, (base, target) => {
        const expected = target.flatMap((id, frame) => (base.includes(id) ? [] : [frame]));
        expect([...framesMissingFrom(frames(base), frames(target))]).toEqual(expected);
      }),
    );
  });
});

/** A table of one-sector frames with hashes that collide in their first bytes. */
function frames(ids: readonly number[]): FrameTable {
  const section = new Uint8Array(ids.length * FRAME_RECORD_BYTES);
  for (const [i, id] of ids.entries()) {
    writeFrameRecord(section.subarray(i * FRAME_RECORD_BYTES), {
      packedLength: 10,
      sectors: 1,
      hash: new Uint8Array(32).fill(id % 3, 0, 4).fill(id, 4),
      rawHash: new Uint8Array(16),
    });
  }
  return FrameTable.decode(section, {
    disk: { size: 1, format: "raw", gridOffset: 0 },
    counts: { frames: ids.length, sectors: ids.length, kept: 0 },
    pack: { length: 64 + ids.length * 10, sha256: new Uint8Array(32) },
  });
}

function range(first: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}
