import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRAME_RECORD_BYTES, FrameTable, writeFrameRecord } from "../src/index.js";
import { outcome } from "./outcome.js";

type Shape = readonly { readonly packed: number; readonly sectors: number; readonly hash?: Uint8Array }[];

function table(frames: Shape): FrameTable {
  const section = new Uint8Array(frames.length * FRAME_RECORD_BYTES);
  for (const [i, { packed, sectors, hash }] of frames.entries()) {
    writeFrameRecord(section.subarray(i * FRAME_RECORD_BYTES), {
      packedLength: packed,
      sectors,
      hash: hash ?? randomBytes(32),
      rawHash: randomBytes(16),
    });
  }
  return FrameTable.decode(section, headOf(frames));
}

function headOf(frames: Shape): Parameters<typeof FrameTable.decode>[1] {
  return {
    disk: { size: 1, format: "raw", gridOffset: 0 },
    counts: { frames: frames.length, sectors: frames.reduce((sum, f) => sum + f.sectors, 0), kept: 0 },
    pack: { length: frames.reduce((sum, f) => sum + f.packed, 64), sha256: new Uint8Array(32) },
  };
}

const shapes = fc.array(
  fc
    .integer({ min: 1, max: 16 })
    .chain((sectors) =>
      fc.record({ sectors: fc.constant(sectors), packed: fc.integer({ min: 1, max: sectors * 4096 }) }),
    ),
  { minLength: 1, maxLength: 50 },
);

describe("FrameTable", () => {
  it("is opened by other threads as it is, and copied into shared memory once", () => {
    const decoded = table([
      { packed: 5000, sectors: 2 },
      { packed: 70, sectors: 16 },
    ]);
    const shared = decoded.share();
    const opened = FrameTable.open(shared);
    expect([opened.offset(2), opened.frameOf(2), opened.count]).toEqual([64 + 5070, 1, 2]);
    expect(opened.record(1)).toEqual(decoded.record(1));
    const again = opened.share();
    expect(again.records.buffer).toBe(shared.records.buffer);
    expect(again.offsets.buffer).toBe(shared.offsets.buffer);
    expect(again.firstSectors.buffer).toBe(shared.firstSectors.buffer);
  });

  it("adds up offsets and sectors and finds the frame of each sector", () => {
    fc.assert(
      fc.property(shapes, (frames) => {
        const decoded = table(frames);
        let offset = 64;
        let sector = 0;
        for (const [i, frame] of frames.entries()) {
          expect(decoded.offset(i)).toBe(offset);
          expect(decoded.packedLength(i)).toBe(frame.packed);
          expect(decoded.rawLength(i)).toBe(frame.sectors * 4096);
          expect(decoded.firstSector(i)).toBe(sector);
          expect(decoded.frameOf(sector)).toBe(i);
          expect(decoded.frameOf(sector + frame.sectors - 1)).toBe(i);
          offset += frame.packed;
          sector += frame.sectors;
        }
        expect(decoded.offset(frames.length)).toBe(offset);
        expect([...decoded.packedLengths()]).toEqual(frames.map(({ packed }) => packed));
      }),
    );
  });

  it("takes a frame as long as its raw bytes for stored", () => {
    const decoded = table([
      { packed: 8192, sectors: 2 },
      { packed: 8191, sectors: 2 },
    ]);
    expect([decoded.codecName(0), decoded.codecName(1)]).toEqual(["store", "zstd"]);
  });

  it("begins an opaque pack at its first byte and allows a shorter last frame", () => {
    const section = new Uint8Array(2 * FRAME_RECORD_BYTES);
    const none = { hash: new Uint8Array(32), rawHash: new Uint8Array(16) };
    writeFrameRecord(section, { packedLength: 65_536, sectors: 16, ...none });
    writeFrameRecord(section.subarray(FRAME_RECORD_BYTES), { packedLength: 4097, sectors: 2, ...none });
    const counts = { frames: 2, sectors: 18, kept: 0 };
    const decoded = FrameTable.decode(section, {
      counts,
      pack: { length: 69_633, sha256: new Uint8Array(32) },
    });
    expect([decoded.offset(0), decoded.offset(1), decoded.rawLength(1), decoded.codecName(1)]).toEqual([
      0,
      65_536,
      4097,
      "store",
    ]);
  });

  it.each<[string, Shape]>([
    ["no sectors", [{ packed: 1, sectors: 0 }]],
    ["17 sectors", [{ packed: 1, sectors: 17 }]],
    ["no bytes", [{ packed: 0, sectors: 1 }]],
    ["more packed than raw bytes", [{ packed: 4097, sectors: 1 }]],
  ])("refuses a frame of %s with ERR_INDEX_INVALID", (_, frames) => {
    expect(() => table(frames)).toThrow(expect.objectContaining({ code: "ERR_INDEX_INVALID" }));
  });

  it("refuses frames that do not add up to the pack or the count of sectors", () => {
    const section = new Uint8Array(FRAME_RECORD_BYTES);
    writeFrameRecord(section, {
      packedLength: 5,
      sectors: 1,
      hash: new Uint8Array(32),
      rawHash: new Uint8Array(16),
    });
    const good = headOf([{ packed: 5, sectors: 1 }]);
    const wrong = [
      { ...good, pack: { ...good.pack, length: 70 } },
      { ...good, counts: { ...good.counts, sectors: 2 } },
      { ...good, counts: { ...good.counts, frames: 2 } },
    ];
    for (const head of wrong) {
      expect(() => FrameTable.decode(section, head)).toThrow(
        expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
      );
    }
  });

  it("gives a table or an AppError for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 208 }), (bytes) => {
        const section = bytes.subarray(0, bytes.length - (bytes.length % FRAME_RECORD_BYTES));
        const frames = section.length / FRAME_RECORD_BYTES;
        const head = { ...headOf([]), counts: { frames, sectors: frames, kept: 0 } };
        expect(outcome(() => FrameTable.decode(section, head))).toMatch(/^(?:ok|ERR_INDEX_INVALID)$/);
      }),
    );
  });
});
