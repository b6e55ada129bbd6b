import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ContainerWriter } from "../src/container.js";
import { containerSegments, DiskExtents } from "../src/index.js";
import { outcome } from "./outcome.js";
import { varint } from "./sample-index.js";

const DISK = 1000;

/** The file that a recipe describes; the byte of disk offset d is d modulo 251, plus 1. */
function rebuild(section: Uint8Array): Uint8Array {
  const parts = [...containerSegments(section, DISK)].map((segment) => {
    if (segment.type === "literal") return segment.bytes;
    if (segment.type === "fill") return new Uint8Array(segment.length).fill(segment.byte);
    return Uint8Array.from({ length: segment.length }, (_, i) => diskByte(segment.diskOffset + i));
  });
  return Buffer.concat(parts);
}

const diskByte = (offset: number): number => (offset % 251) + 1;

describe("container", () => {
  it("rebuilds any mixture of bytes and disk ranges", () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.record({ byte: fc.nat(255), count: fc.integer({ min: 1, max: 100 }) }),
      fc.record({ offset: fc.nat(DISK - 101), length: fc.nat(100) }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
        const writer = new ContainerWriter();
        const expected: Uint8Array[] = [];
        for (const item of parts) {
          if (item instanceof Uint8Array) {
            writer.bytes(item);
            expected.push(item);
          } else if ("byte" in item) {
            const fill = new Uint8Array(item.count).fill(item.byte);
            writer.bytes(fill);
            expected.push(fill);
          } else {
            writer.disk(item.offset, item.length);
            expected.push(Uint8Array.from({ length: item.length }, (_, i) => diskByte(item.offset + i)));
          }
        }
        expect(Buffer.compare(rebuild(writer.finish()), Buffer.concat(expected))).toBe(0);
      }),
    );
  });

  it("writes the bitmap of a full VHD block in a few bytes", () => {
    const writer = new ContainerWriter();
    writer.bytes(new Uint8Array(512).fill(0xff));
    expect(writer.finish()).toHaveLength(4);
  });

  it.each<[string, readonly number[]]>([
    ["a range that leaves the disk", [1, ...varint(1001), 0]],
    ["a range before the disk", [1, 1, 1]],
    ["a fill of terabytes", [2, 0, ...varint(2 ** 42)]],
    ["a literal that is not there", [0, 5, 1, 2]],
    ["a segment without bytes", [0, 0]],
    ["a segment of unknown type", [3, 1]],
  ])("refuses %s with ERR_INDEX_INVALID", (_, bytes) => {
    expect(() => [...containerSegments(Uint8Array.from(bytes), DISK)]).toThrow(
      expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
    );
  });

  it("refuses two ranges of the file that show the same disk bytes", () => {
    const writer = new ContainerWriter();
    writer.disk(0, 10);
    writer.disk(9, 10);
    expect(() => DiskExtents.decode(writer.finish(), DISK)).toThrow(
      expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
    );
  });

  it("yields segments within the disk or throws an AppError, for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(outcome(() => DiskExtents.decode(bytes, DISK))).toMatch(/^(?:ok|ERR_INDEX_INVALID)$/);
      }),
    );
  });
});

describe("DiskExtents", () => {
  it("finds each byte of the disk where the file has it", () => {
    const writer = new ContainerWriter();
    writer.bytes(new Uint8Array(5));
    writer.disk(600, 100);
    writer.bytes(new Uint8Array(7));
    writer.disk(0, 300);
    const { extents, fileLength } = DiskExtents.decode(writer.finish(), DISK);
    const seen: [number, number, number][] = [];
    extents.forEach(250, 400, (diskOffset, fileOffset, bytes) => seen.push([diskOffset, fileOffset, bytes]));
    expect(fileLength).toBe(412);
    expect(seen).toEqual([
      [250, 362, 50],
      [600, 5, 50],
    ]);
    expect(DiskExtents.flat(5).arrays.lengths).toEqual(Float64Array.of(5));
  });
});
