import { AppError } from "@ckmesh/core";
import type { ByteSource } from "./byte-source.js";
import { MAX_DISK_BYTES } from "./constants.js";
import { ContainerWriter } from "./container.js";
import { DiskExtents } from "./disk-extents.js";
import type { DiskFormat } from "./index-head.js";
import {
  parseVhdFooter,
  parseVhdHeader,
  VHD_FOOTER_BYTES,
  VHD_HEADER_BYTES,
  VHD_SECTOR_BYTES,
  VHD_UNUSED_BLOCK,
  type VhdFooter,
} from "./vhd.js";
import { volumeGridOffset } from "./volume-grid.js";

/** What a disk file is, and the recipe that rebuilds it around its disk. */
export interface DiskFile {
  readonly format: DiskFormat;
  /** Bytes of the virtual disk. */
  readonly size: number;
  /** Offset in the disk modulo 4096 at which sectors begin: where its largest volume has its clusters. */
  readonly gridOffset: number;
  /** The `container` section; also says where the disk's bytes lie in the file. */
  readonly container: Uint8Array;
}

const MAX_TABLE_ENTRIES = 2 ** 22;
const READ_BYTES = 2 ** 20;
/** A format of disk files that is packed as what `qemu-img` makes of it. */
export interface ForeignFormat {
  readonly name: string;
  /** What qemu-img calls it. */
  readonly driver: "vhdx" | "qcow2" | "vmdk";
}

/** By their first bytes; they would be packed as if they were disks. */
const FOREIGN = new Map<string, ForeignFormat>([
  ["vhdxfile", { name: "VHDX", driver: "vhdx" }],
  ["QFI\u00fb", { name: "qcow2", driver: "qcow2" }],
  ["KDMV", { name: "VMDK", driver: "vmdk" }],
  ["# Disk DescriptorFile", { name: "VMDK descriptor", driver: "vmdk" }],
]);

/** What another program has to read; undefined for all that `describeDiskFile` takes, or refuses as damaged. */
export async function foreignFormat(source: ByteSource): Promise<ForeignFormat | undefined> {
  const start = Buffer.from(await source.read(0, Math.min(32, source.length))).toString("latin1");
  for (const [magic, format] of FOREIGN) if (start.startsWith(magic)) return format;
  return undefined;
}

/**
 * Recognises raw disks and fixed and dynamic VHDs and describes them; of their disks it reads the partition
 * table alone.
 * @throws {AppError} ERR_DISK_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export async function describeDiskFile(source: ByteSource): Promise<DiskFile> {
  const layout = await describeLayout(source);
  const start = await readDiskStart(source, layout);
  return { ...layout, gridOffset: volumeGridOffset(start, layout.size) };
}

type DiskLayout = Omit<DiskFile, "gridOffset">;

async function readDiskStart(source: ByteSource, { container, size }: DiskLayout): Promise<Uint8Array> {
  const start = new Uint8Array(Math.min(size, VHD_SECTOR_BYTES));
  const stretches: [number, number, number][] = [];
  DiskExtents.decode(container, size).extents.forEach(0, start.length, (...stretch) => {
    stretches.push(stretch);
  });
  for (const [to, from, length] of stretches) start.set(await source.read(from, length), to);
  return start;
}

async function describeLayout(source: ByteSource): Promise<DiskLayout> {
  if (source.length === 0) throw invalid("it is empty");
  if (source.length > MAX_DISK_BYTES) throw invalid("it is larger than 64 TiB");
  const foreign = await foreignFormat(source);
  if (foreign !== undefined) throw unsupported(`it is a ${foreign.name} file`);
  const start = await source.read(0, Math.min(VHD_FOOTER_BYTES, source.length));
  if (source.length < VHD_FOOTER_BYTES * 2) return describeRaw(source.length);
  const footer = parseVhdFooter(await source.read(source.length - VHD_FOOTER_BYTES, VHD_FOOTER_BYTES));
  const copy = parseVhdFooter(start);
  if (footer === "damaged")
    throw invalid("its VHD footer is damaged; repair it, or convert it to a raw image");
  if (footer === undefined) {
    if (copy !== undefined)
      throw invalid("it begins like a dynamic VHD but its end is missing; copy it again");
    return describeRaw(source.length);
  }
  switch (footer.type) {
    case "fixed":
      return await describeFixed(source, footer);
    case "dynamic":
      return await describeDynamic(source, footer);
    case "differencing":
      throw unsupported("it is a differencing VHD; merge it with its parent first");
    case "unknown":
      throw unsupported("it is a VHD of an unknown type; convert it to a raw image first");
  }
}

function describeRaw(length: number): DiskLayout {
  const container = new ContainerWriter();
  container.disk(0, length);
  return { format: "raw", size: length, container: container.finish() };
}

async function describeFixed(source: ByteSource, footer: VhdFooter): Promise<DiskLayout> {
  const room = source.length - VHD_FOOTER_BYTES;
  if (footer.size > room)
    throw invalid(`its VHD footer says ${footer.size} bytes, the file has ${room}: it is truncated`);
  checkSize(footer.size);
  const container = new ContainerWriter();
  container.disk(0, footer.size);
  await copyGap(source, container, footer.size, source.length);
  return { format: "vhd-fixed", size: footer.size, container: container.finish() };
}

async function describeDynamic(source: ByteSource, footer: VhdFooter): Promise<DiskLayout> {
  checkSize(footer.size);
  const table = await readBlockTable(source, footer);
  const { blockBytes, entries } = table;
  const bitmapBytes = Math.ceil(blockBytes / VHD_SECTOR_BYTES / 8 / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
  const used = Uint32Array.from(entries.keys()).filter((block) => entries[block] !== VHD_UNUSED_BLOCK);
  used.sort((a, b) => (entries[a] ?? 0) - (entries[b] ?? 0));
  const container = new ContainerWriter();
  let at = 0;
  for (const block of used) {
    const start = (entries[block] ?? 0) * VHD_SECTOR_BYTES + bitmapBytes;
    const length = Math.min(blockBytes, footer.size - block * blockBytes);
    if (start < at) throw invalid("two blocks of the VHD overlap");
    if (start + length > source.length)
      throw invalid(`block ${block} of the VHD lies behind its end: it is truncated`);
    await copyGap(source, container, at, start);
    container.disk(block * blockBytes, length);
    at = start + length;
  }
  await copyGap(source, container, at, source.length);
  return { format: "vhd-dynamic", size: footer.size, container: container.finish() };
}

async function readBlockTable(
  source: ByteSource,
  footer: VhdFooter,
): Promise<{ blockBytes: number; entries: Uint32Array }> {
  const { headerOffset } = footer;
  if (!(headerOffset + VHD_HEADER_BYTES <= source.length))
    throw invalid("its VHD header lies behind its end");
  const header = parseVhdHeader(await source.read(headerOffset, VHD_HEADER_BYTES));
  if (header === undefined) throw invalid("the header of the dynamic VHD is damaged");
  const { blockBytes, tableOffset } = header;
  if (blockBytes < VHD_SECTOR_BYTES || (blockBytes & (blockBytes - 1)) !== 0) {
    throw invalid(`its VHD blocks have ${blockBytes} bytes, which is no power of two`);
  }
  // Entries beyond the disk's end show nothing of it; their blocks are kept as bytes beside the disk.
  const count = Math.ceil(footer.size / blockBytes);
  if (header.tableEntries < count) throw invalid("its VHD block table is too short for its disk");
  if (count > MAX_TABLE_ENTRIES)
    throw invalid(`its VHD block table has more than ${MAX_TABLE_ENTRIES} entries`);
  if (!(tableOffset + count * 4 <= source.length)) throw invalid("its VHD block table lies behind its end");
  const bytes = await source.read(tableOffset, count * 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { blockBytes, entries: Uint32Array.from({ length: count }, (_, i) => view.getUint32(i * 4)) };
}

async function copyGap(
  source: ByteSource,
  container: ContainerWriter,
  from: number,
  to: number,
): Promise<void> {
  for (let at = from; at < to; at += READ_BYTES) {
    container.bytes(await source.read(at, Math.min(READ_BYTES, to - at)));
  }
}

function checkSize(size: number): void {
  if (size < 1 || size > MAX_DISK_BYTES) throw invalid(`its VHD footer says ${size} bytes`);
}

function invalid(problem: string): AppError {
  return new AppError("ERR_DISK_INVALID", `the disk file cannot be packed: ${problem}`);
}

function unsupported(problem: string): AppError {
  return new AppError("ERR_FORMAT_UNSUPPORTED", `the disk file cannot be packed: ${problem}`);
}
