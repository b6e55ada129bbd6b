import { describe, expect, it } from "vitest";
import { volumeGridOffset } from "../src/volume-grid.js";

type Entry = readonly [status: number, type: number, first: number, count: number];

/** A Master Boot Record; each entry: status, type, first sector and number of sectors. */
function bootRecord(entries: readonly Entry[]): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.writeUInt16BE(0x55aa, 510);
  for (const [i, [status, type, first, count]] of entries.entries()) {
    const at = 446 + i * 16;
    bytes[at] = status;
    bytes[at + 4] = type;
    bytes.writeUInt32LE(first, at + 8);
    bytes.writeUInt32LE(count, at + 12);
  }
  return bytes;
}

describe("volumeGridOffset", () => {
  const size = 1e9;

  it.each<[string, readonly Entry[], number]>([
    ["the only volume, at sector 63", [[0x80, 7, 63, 100_000]], 3584],
    [
      "the largest of several",
      [
        [0x80, 7, 2048, 1000],
        [0, 7, 3053, 100_000],
      ],
      (3053 * 512) % 4096,
    ],
    ["a volume at 1 MiB", [[0x80, 7, 2048, 100_000]], 0],
    [
      "volumes alone, not the extended partition around some",
      [
        [0x80, 7, 2048, 1000],
        [0, 5, 4001, 99_999],
      ],
      0,
    ],
    ["none with a GUID partition table", [[0, 0xee, 1, 1_953_124]], 0],
    [
      "none when an entry is no entry",
      [
        [0x80, 7, 63, 100_000],
        [0x41, 7, 1, 2],
      ],
      0,
    ],
    ["none when a volume leaves the disk", [[0x80, 7, 63, 1_953_125]], 0],
  ])("is the grid of %s", (_, entries, grid) => {
    expect(volumeGridOffset(bootRecord(entries), size)).toBe(grid);
  });

  it("is 0 for a disk that is one volume, whatever its boot code looks like, and for a short or plain one", () => {
    const volume = bootRecord([[0x80, 7, 63, 100_000]]);
    volume.write("NTFS    ", 3, "latin1");
    expect(volumeGridOffset(volume, size)).toBe(0);
    expect(volumeGridOffset(bootRecord([[0x80, 7, 63, 9]]).subarray(0, 511), 511)).toBe(0);
    expect(volumeGridOffset(new Uint8Array(512).fill(0x80), size)).toBe(0);
  });
});
