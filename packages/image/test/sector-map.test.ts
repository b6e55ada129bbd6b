import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SectorMapCursor, SectorMapWriter } from "../src/index.js";
import { varint } from "./sample-index.js";

/** Unique sector by disk sector; undefined is zero. */
type Disk = readonly (number | undefined)[];

function encode(disk: Disk): Uint8Array {
  const writer = new SectorMapWriter();
  for (const [position, sector] of disk.entries()) if (sector !== undefined) writer.add(position, sector);
  return writer.finish();
}

function decode(section: Uint8Array, length: number, sectors: number, step: number): Disk {
  const cursor = new SectorMapCursor(section, length, sectors);
  const disk: (number | undefined)[] = Array.from({ length });
  cursor.next();
  for (let end = step; ; end += step) {
    const runs = cursor.takeUntil(Math.min(end, length));
    for (let i = 0; i < runs.length; i += 3) {
      for (let k = 0; k < (runs[i + 1] ?? 0); k += 1) disk[(runs[i] ?? 0) + k] = (runs[i + 2] ?? 0) + k;
    }
    if (end >= length) return disk;
  }
}

describe("sector map", () => {
  it("gives back every disk, read in stretches of any length", () => {
    const disks = fc.array(fc.option(fc.nat(40), { nil: undefined }), { minLength: 1, maxLength: 120 });
    fc.assert(
      fc.property(disks, fc.integer({ min: 1, max: 130 }), (disk, step) => {
        expect(decode(encode(disk), disk.length, 41, step)).toEqual(disk);
      }),
    );
  });

  it("writes a first install as one run", () => {
    const writer = new SectorMapWriter();
    for (let i = 0; i < 100_000; i += 1) writer.add(i + 5, i);
    expect([...writer.finish()]).toEqual([5, ...varint(100_000), 0]);
  });

  it.each<[string, readonly number[]]>([
    ["leaves the disk", [0, 11, 0]],
    ["begins behind the disk", [10, 1, 0]],
    ["names a sector that is not there", [0, 5, 2]],
    ["names a sector before the first", [0, 1, 1]],
    ["is empty", [0, 0, 0]],
    ["is cut short", [0, 1]],
    ["has a number above 2^53 - 1", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 1, 0]],
  ])("refuses a run that %s with ERR_INDEX_INVALID", (_, bytes) => {
    const cursor = new SectorMapCursor(Uint8Array.from(bytes), 10, 5);
    expect(() => cursor.next()).toThrow(expect.objectContaining({ code: "ERR_INDEX_INVALID" }));
  });

  it("stays within disk and sectors or throws an AppError, for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const cursor = new SectorMapCursor(bytes, 1000, 50);
        let end = 0;
        try {
          while (cursor.next()) {
            expect(cursor.position).toBeGreaterThanOrEqual(end);
            end = cursor.position + cursor.count;
            expect(end).toBeLessThanOrEqual(1000);
            expect(cursor.sector + cursor.count).toBeLessThanOrEqual(50);
          }
        } catch (err) {
          if (!isAppError(err, "ERR_INDEX_INVALID")) throw err;
        }
      }),
    );
  });
});
