import { sha256 } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BUCKET_BYTES,
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

/** Where fingerprints of `bytes` end, with their hashes. */
function scan(bytes: Uint8Array, sampleBits = 6): readonly string[] {
  const list = new FingerprintList(bytes.length);
  list.scan(bytes, sampleBits);
  return Array.from({ length: list.length }, (_, i) => `${list.ends[i]} ${list.hashes[i]}`);
}

/** A table of all of a base, filled in the `order` of its pieces of 64 KiB. */
function fill(base: Uint8Array, order: readonly number[]): FingerprintTable {
  const plan = planFingerprints(base.length / SECTOR);
  const table = new FingerprintTable(plan, shared(plan));
  const list = new FingerprintList(1 << 16);
  for (const frame of order) {
    list.scan(base.subarray(frame << 16, (frame + 1) << 16), plan.sampleBits);
    for (let i = 0; i < list.length; i += 1) {
      table.add(list.hashes[i] ?? 0, Math.floor(((frame << 16) + (list.ends[i] ?? 0) - 16) / BUCKET_BYTES));
    }
  }
  return table;
}

describe("fingerprints", () => {
  it("lie at about one in 2^bits positions of content", () => {
    const found = scan(noise(1 << 16, "a")).length;
    expect(found).toBeGreaterThan(500);
    expect(found).toBeLessThan(1100);
    expect(scan(noise(31, "a"), 1)).toEqual([]);
  });

  it("move with the content, whatever lies before it", () => {
    const content = noise(8192, "b");
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (distance) => {
        const moved = Buffer.concat([noise(distance, "before"), content]);
        const expected = new Set(scan(content).map((line) => line.split(" ")[1]));
        const found = new Set(scan(moved).map((line) => line.split(" ")[1]));
        const lost = [...expected].filter((hash) => !found.has(hash));
        // One at the seam may give way to a neighbour.
        expect(lost.length).toBeLessThanOrEqual(3);
      }),
      { numRuns: 30 },
    );
  });

  it("are not many in a run of one byte", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      expect(scan(new Uint8Array(1 << 16).fill(byte), 1).length).toBeLessThanOrEqual(2048);
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
    table.add(0xffff_ffff, last);
    expect(table.find(0xffff_ffff)).toBe(last);
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
