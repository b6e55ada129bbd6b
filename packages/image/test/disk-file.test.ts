import { isAppError, seededRandom } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  containerSegments,
  DiskExtents,
  type DiskFile,
  describeDiskFile,
  fixedVhdFooter,
} from "../src/index.js";
import { memorySource } from "./sample-index.js";
import { dynamicVhd, seal } from "./vhd-file.js";

/** The disk that a file shows, and the file rebuilt from disk and recipe. */
async function roundTrip(
  file: Uint8Array,
): Promise<{ described: DiskFile; disk: Uint8Array; rebuilt: Uint8Array }> {
  const described = await describeDiskFile(memorySource(file));
  const disk = new Uint8Array(described.size);
  DiskExtents.decode(described.container, described.size).extents.forEach(
    0,
    described.size,
    (to, from, bytes) => {
      disk.set(file.subarray(from, from + bytes), to);
    },
  );
  const parts = [...containerSegments(described.container, described.size)].map((segment) => {
    if (segment.type === "literal") return segment.bytes;
    if (segment.type === "fill") return new Uint8Array(segment.length).fill(segment.byte);
    return disk.subarray(segment.diskOffset, segment.diskOffset + segment.length);
  });
  return { described, disk, rebuilt: Buffer.concat(parts) };
}

function noise(length: number): Uint8Array {
  const random = seededRandom(length);
  return Uint8Array.from({ length }, () => random.next() * 256);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe("describeDiskFile", () => {
  it.each([1, 511, 1024, 70_001])("takes %i bytes for a raw disk", async (length) => {
    const file = noise(length);
    const { described, disk, rebuilt } = await roundTrip(file);
    expect(described).toMatchObject({ format: "raw", size: length });
    expect(same(disk, file) && same(rebuilt, file)).toBe(true);
  });

  it("reads a fixed VHD, also with bytes between disk and footer", async () => {
    const content = noise(8192);
    const footer = fixedVhdFooter(8192, 1_600_000_000, new Uint8Array(16));
    for (const gap of [new Uint8Array(0), noise(700)]) {
      const file = Buffer.concat([content, gap, footer]);
      const { described, disk, rebuilt } = await roundTrip(file);
      expect(described).toMatchObject({ format: "vhd-fixed", size: 8192 });
      expect(same(disk, content) && same(rebuilt, file)).toBe(true);
    }
  });

  it("reads dynamic VHDs: blocks in any order, not allocated, cut at the disk's end, with bytes between", async () => {
    const layouts = fc.record({
      blocks: fc.integer({ min: 1, max: 6 }),
      cut: fc.integer({ min: 0, max: 7 }),
      gap: fc.uint8Array({ maxLength: 600 }),
      spareEntries: fc.nat(3),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(layouts, async ({ blocks, cut, gap, spareEntries, seed }) => {
        const random = seededRandom(seed);
        const disk = noise(blocks * 4096 - cut * 512);
        const order = Array.from({ length: blocks }, (_, i) => i)
          .filter(() => random.next() < 0.7)
          .toSorted(() => random.next() - 0.5);
        for (let block = 0; block < blocks; block += 1) {
          if (!order.includes(block)) disk.fill(0, block * 4096, (block + 1) * 4096);
        }
        const file = dynamicVhd({ disk, blockBytes: 4096, order, gap, spareEntries });
        const result = await roundTrip(file);
        expect(result.described).toMatchObject({ format: "vhd-dynamic", size: disk.length });
        expect(same(result.disk, disk) && same(result.rebuilt, file)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("costs a few bytes per block of a dynamic VHD", async () => {
    const disk = noise(64 * 4096);
    const file = dynamicVhd({ disk, blockBytes: 4096, order: [...Array.from({ length: 64 }).keys()] });
    const { described } = await roundTrip(file);
    expect(described.container.length).toBeLessThan(64 * 12 + 1000);
  });

  it.each<[string, () => Uint8Array]>([
    ["an empty file", () => new Uint8Array(0)],
    ["a damaged footer", () => flip(dynamic(), -400)],
    ["a dynamic VHD without its end", () => dynamic().subarray(0, 9000)],
    ["a damaged dynamic header", () => flip(dynamic(), 700)],
    ["a block behind the end", () => tableEntry(dynamic(), 0, 40)],
    ["two blocks that overlap", () => tableEntry(dynamic(), 1, 5)],
    ["a table that lies behind the end", () => header(dynamic(), (h) => h.writeBigUInt64BE(1n << 60n, 16))],
    ["a table that is too short", () => header(dynamic(), (h) => h.writeUInt32BE(1, 28))],
    ["blocks of no power of two", () => header(dynamic(), (h) => h.writeUInt32BE(4097, 32))],
    [
      "a fixed footer above the file's size",
      () => Buffer.concat([noise(2048), fixedVhdFooter(4096, 0, new Uint8Array(16))]),
    ],
  ])("refuses %s with ERR_DISK_INVALID", async (_, make) => {
    await expect(describeDiskFile(memorySource(make()))).rejects.toMatchObject({ code: "ERR_DISK_INVALID" });
  });

  it.each<[string, () => Uint8Array]>([
    ["a differencing VHD", () => footerType(dynamic(), 4)],
    ["a VHD of unknown type", () => footerType(dynamic(), 9)],
    ["qcow2", () => Buffer.concat([Buffer.from("QFI\u00fb", "latin1"), noise(5000)])],
    ["VHDX", () => Buffer.concat([Buffer.from("vhdxfile"), noise(5000)])],
  ])("refuses %s with ERR_FORMAT_UNSUPPORTED", async (_, make) => {
    await expect(describeDiskFile(memorySource(make()))).rejects.toMatchObject({
      code: "ERR_FORMAT_UNSUPPORTED",
    });
  });

  it("throws nothing but AppErrors for any flipped byte of a VHD's structures", async () => {
    const good = dynamic();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: -512, max: 2560 }),
        fc.nat(255),
        fc.boolean(),
        async (at, byte, isSealed) => {
          const bad = Buffer.from(good);
          bad[at < 0 ? bad.length + at : at] = byte;
          if (isSealed) {
            seal(bad.subarray(bad.length - 512), 64);
            seal(bad.subarray(512, 1536), 36);
          }
          const result = await describeDiskFile(memorySource(bad)).catch((err: unknown) => err);
          expect(result).toSatisfy((x) => !(x instanceof Error) || isAppError(x));
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("fixedVhdFooter", () => {
  it("has the geometry that the specification computes", () => {
    // What qemu-img 7.2 writes for `create -f vpc` of 64 MiB, 8 GiB (both rounded up by it) and 2040 GiB.
    expect(geometry(67_125_248)).toEqual([964, 8, 17]);
    expect(geometry(8_590_417_920)).toEqual([16_645, 16, 63]);
    expect(geometry(2040 * 2 ** 30)).toEqual([65_535, 16, 255]);
  });
});

function dynamic(): Buffer {
  return Buffer.from(dynamicVhd({ disk: noise(16_384), blockBytes: 4096, order: [0, 1, 3] }));
}

function geometry(bytes: number): readonly number[] {
  const footer = Buffer.from(fixedVhdFooter(bytes, 0, new Uint8Array(16)));
  return [footer.readUInt16BE(56), footer.readUInt8(58), footer.readUInt8(59)];
}

function flip(bytes: Buffer, at: number): Buffer {
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ 1;
  return bytes;
}

function tableEntry(bytes: Buffer, block: number, sector: number): Buffer {
  bytes.writeUInt32BE(sector, 1536 + block * 4);
  return bytes;
}

function header(bytes: Buffer, change: (header: Buffer) => void): Buffer {
  const view = bytes.subarray(512, 1536);
  change(view);
  seal(view, 36);
  return bytes;
}

function footerType(bytes: Buffer, type: number): Buffer {
  const view = bytes.subarray(bytes.length - 512);
  view.writeUInt32BE(type, 60);
  seal(view, 64);
  return bytes;
}
