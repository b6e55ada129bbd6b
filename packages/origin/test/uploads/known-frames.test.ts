import { sha256 } from "@ckmesh/core";
import { FRAME_RECORD_BYTES, FrameTable, writeFrameRecord } from "@ckmesh/image";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KnownFrames } from "../../src/uploads/known-frames.js";

const PACKED = 4096;

/** A table of frames that are told apart by numbers. */
function table(ids: readonly number[], hashOf: (id: number) => Uint8Array = idHash): FrameTable {
  const records = new Uint8Array(ids.length * FRAME_RECORD_BYTES);
  for (const [i, id] of ids.entries()) {
    const hash = hashOf(id);
    writeFrameRecord(records.subarray(i * FRAME_RECORD_BYTES), {
      packedLength: PACKED,
      sectors: 1,
      hash,
      rawHash: hash,
    });
  }
  return FrameTable.decode(records, {
    disk: { size: PACKED, format: "raw", gridOffset: 0 },
    counts: { frames: ids.length, sectors: ids.length, kept: 0 },
    pack: { length: 64 + ids.length * PACKED, sha256: new Uint8Array(32) },
  });
}

function idHash(id: number): Uint8Array {
  return sha256(Uint8Array.of(id, id >>> 8, id >>> 16));
}

/** All begin alike. */
function alike(id: number): Uint8Array {
  return Uint8Array.of(7, 7, 7, 7, ...idHash(id).subarray(4));
}

describe("known frames", () => {
  it("are those whose hash another pack has, at its place, whatever the order", () => {
    const ids = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 40 });
    fc.assert(
      fc.property(ids, ids, (wanted, published) => {
        const frames = table(wanted);
        const known = new KnownFrames(frames);
        known.add(0, table(published));
        for (const [i, id] of wanted.entries()) {
          const at = published.indexOf(id);
          expect(known.find(i)).toEqual(at < 0 ? undefined : { pack: 0, offset: 64 + at * PACKED });
        }
        expect(known.unknownCount).toBe(wanted.filter((id) => !published.includes(id)).length);
      }),
    );
  });

  it("are taken from the pack that was added first", () => {
    const known = new KnownFrames(table([1, 2]));
    known.add(0, table([2]));
    known.add(1, table([1, 2]));
    expect([known.find(0)?.pack, known.find(1)?.pack]).toEqual([1, 0]);
  });

  it("are missing from the first unknown one to the first gap that is worth it", () => {
    const known = new KnownFrames(table([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    known.add(0, table([0, 1, 4, 6, 7, 8]));
    const at = (i: number): number => 64 + i * PACKED;
    expect(known.missingFrom(0, 2 * PACKED)).toEqual({ first: at(2), end: at(6) });
    expect(known.missingFrom(0, 1)).toEqual({ first: at(2), end: at(4) });
    expect(known.missingFrom(6, 1)).toEqual({ first: at(9), end: at(10) });
    known.forget(8);
    expect(known.missingFrom(6, 1)).toEqual({ first: at(8), end: at(10) });
    expect(new KnownFrames(table([])).missingFrom(0, 1)).toBeUndefined();
  });

  it("cost little in an index that is made to collide", () => {
    const count = 50_000;
    const ids = Array.from({ length: count }, (_, i) => i);
    const frames = table(ids, alike);
    const started = performance.now();
    const known = new KnownFrames(frames);
    known.add(0, frames);
    // Without a limit it is 1.25e9 steps: many seconds.
    expect(performance.now() - started).toBeLessThan(2000);
    expect(known.find(0)).toEqual({ pack: 0, offset: 64 });
  });
});
