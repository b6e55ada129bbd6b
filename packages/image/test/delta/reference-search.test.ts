import { sha256 } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bucketAt,
  FingerprintList,
  type FingerprintPlan,
  FingerprintTable,
  FRAME_RECORD_BYTES,
  FrameTable,
  framesMissingFrom,
  planFingerprints,
  ReferenceFrames,
  ReferenceSearch,
  SectorMapCursor,
  SectorMapWriter,
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

function scan(bytes: Uint8Array, sampleBits = 6): Uint32Array {
  const list = new FingerprintList();
  list.scan(bytes, sampleBits);
  return list.hashes.slice(0, list.length);
}

/** A table of all of a base, filled in the `order` of its pieces of 64 KiB. */
function fill(base: Uint8Array, order: readonly number[]): FingerprintTable {
  const plan = planFingerprints(base.length / SECTOR, base.length / SECTOR);
  const table = new FingerprintTable(plan, shared(plan));
  const list = new FingerprintList();
  for (const frame of order) {
    list.scan(base.subarray(frame << 16, (frame + 1) << 16), plan.sampleBits);
    const hashes = list.hashes.subarray(0, list.length);
    const buckets = list.starts.subarray(0, list.length).map((start) => bucketAt(frame * 16, start));
    table.add({ hashes, buckets });
  }
  return table;
}

describe("fingerprints", () => {
  it("are about one in 2^bits positions, and at most 2048", () => {
    const found = scan(noise(1 << 16, "a")).length;
    expect(found).toBeGreaterThan(800);
    expect(found).toBeLessThan(1250);
    expect(scan(noise(31, "a"), 1).length).toBe(0);
    expect(scan(noise(1 << 16, "a"), 1).length).toBe(2048);
  });

  it("move with their content, by any distance", () => {
    const content = noise(8192, "b");
    const expected = scan(content);
    expect(expected.length).toBeGreaterThan(80);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5000 }), (distance) => {
        const found = new Set(scan(Buffer.concat([noise(distance, "before"), content])));
        expect(expected.filter((hash) => !found.has(hash)).length).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("do not count twice in a run of one byte", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      expect(scan(new Uint8Array(4096).fill(byte), 1).length).toBeLessThanOrEqual(1);
    }
  });
});

describe("planFingerprints", () => {
  it.each([
    [1, { sampleBits: 8, slotBits: 10 }],
    [110_000, { sampleBits: 8, slotBits: 22 }],
    [20e9 / SECTOR, { sampleBits: 11, slotBits: 24 }],
    [2 ** 27, { sampleBits: 16, slotBits: 24 }],
  ])("samples %d sectors so that at most 64 MiB of table do", (sectors, expected) => {
    const plan = planFingerprints(Math.ceil(sectors), Math.ceil(sectors));
    expect(plan).toMatchObject(expected);
    expect(plan.checkBits).toBeGreaterThanOrEqual(6);
    // The last bucket of the base still fits an entry.
    const table = new FingerprintTable(plan, shared(plan));
    const last = Math.floor((Math.ceil(sectors) - 1) / 4);
    const hashes = Uint32Array.of(0xffff_ffff);
    table.add({ hashes, buckets: Uint32Array.of(last) });
    const buckets = new Uint32Array(1);
    expect(table.find(hashes, buckets)).toBe(1);
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
    const named = new Set(search.find(scan(raw, 8)).flatMap(({ first, count }) => range(first, count)));
    const wanted = [...range(26, 6), ...range(734, 6)];
    expect(wanted.filter((sector) => !named.has(sector))).toEqual([]);
    expect(named.size).toBeLessThanOrEqual(32);
  });

  it("calls those alike that have a good part of the frame", () => {
    const search = new ReferenceSearch(fill(base, all), base.length / SECTOR);
    const raw = noise(1 << 16, "mostly new");
    raw.set(base.subarray(100 * SECTOR, 104 * SECTOR), 1000);
    raw.set(base.subarray(200 * SECTOR, 200 * SECTOR + 700), 40_000);
    const hashes = scan(raw, 8);
    expect(search.find(hashes)).toEqual([
      { first: 100, count: 4 },
      { first: 200, count: 4 },
    ]);
    expect(search.alike(hashes)).toEqual([{ first: 100, count: 4 }]);
  });

  it("takes what a single fingerprint names beside what more name, not alone", () => {
    const search = new ReferenceSearch(fill(base, all), base.length / SECTOR);
    const of = (sector: number): Uint32Array =>
      scan(base.subarray(sector * SECTOR, (sector + 4) * SECTOR), 8);
    const [one, two] = [of(100), of(200)];
    expect(search.find(one.subarray(0, 1))).toEqual([]);
    expect(search.find(Uint32Array.of(...one.subarray(0, 1), ...two.subarray(0, 1)))).toEqual([]);
    expect(search.find(Uint32Array.of(...one.subarray(0, 1), ...two.subarray(0, 2)))).toEqual([
      { first: 100, count: 4 },
      { first: 200, count: 4 },
    ]);
  });

  it("finds nothing for content that is new", () => {
    const search = new ReferenceSearch(fill(base, all), base.length / SECTOR);
    expect(search.find(scan(noise(1 << 16, "new"), 8))).toEqual([]);
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
        const runs = search.find(scan(raw.subarray(0, 1 << 16), 8));
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
      new ReferenceSearch(table, doubled.length / SECTOR).find(
        scan(base.subarray(5000, 5000 + (1 << 16)), 8),
      ),
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

describe("ReferenceFrames", () => {
  const ids = Array.from({ length: 6000 }, (_, i) => i);
  /** The first 100 frames are gone, of frame 3000 the disk shows nothing. */
  const references = (): ReferenceFrames => {
    const map = new SectorMapWriter();
    map.add(0, 0, 2900);
    map.add(2900, 2901, 2999);
    return new ReferenceFrames(
      wideFrames(ids),
      wideFrames(ids.slice(100)),
      new SectorMapCursor(map.finish(), 5899, 5900),
    );
  };

  it("begin with what the newer version does not show, and one in eight of the others", () => {
    const { first, vanished } = references();
    expect([...vanished]).toEqual([...range(0, 100), 3000]);
    expect([...first]).toEqual(ids.filter((id) => id < 100 || id % 8 === 0));
  });

  it("add what lies around a hit, once, but nothing around what is gone", () => {
    const around = references();
    expect([...around.near([96, 50])]).toEqual([]);
    expect([...around.near([800])]).toEqual([...range(793, 7), ...range(801, 7)]);
    expect([...around.near([800, 808, 5999])]).toEqual(range(809, 7));
  });

  it("are all of a small base", () => {
    const map = new SectorMapCursor(new Uint8Array(0), 0, 0);
    const few = wideFrames(ids.slice(0, 900));
    expect(new ReferenceFrames(few, wideFrames([]), map).first.length).toBe(900);
    const shown = new SectorMapWriter();
    shown.add(0, 0, 900);
    const same = new ReferenceFrames(few, few, new SectorMapCursor(shown.finish(), 900, 900));
    expect(same.vanished.length).toBe(0);
    expect(same.first.length).toBe(900);
  });
});

/** A table of one-sector frames with hashes of their numbers. */
function wideFrames(ids: readonly number[]): FrameTable {
  return frames(ids, (id) => sha256(Buffer.from(`${id}`)));
}

function colliding(id: number): Uint8Array {
  return new Uint8Array(32).fill(id % 3, 0, 4).fill(id, 4);
}

/** A table of one-sector frames, with hashes that collide in their first bytes unless others are given. */
function frames(ids: readonly number[], hashOf = colliding): FrameTable {
  const section = new Uint8Array(ids.length * FRAME_RECORD_BYTES);
  for (const [i, id] of ids.entries()) {
    writeFrameRecord(section.subarray(i * FRAME_RECORD_BYTES), {
      packedLength: 10,
      sectors: 1,
      hash: hashOf(id),
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
