/**
 * The parts of Microsoft's "Virtual Hard Disk Image Format Specification" 1.0 that packing needs. All
 * numbers are big-endian.
 */
export const VHD_FOOTER_BYTES = 512;
export const VHD_HEADER_BYTES = 1024;
export const VHD_SECTOR_BYTES = 512;
/** A block table entry of a block that was never written: its bytes are zero. */
export const VHD_UNUSED_BLOCK = 0xffff_ffff;
/** Largest VHD: 2040 GiB. */
export const MAX_VHD_BYTES = 2040 * 2 ** 30;

const COOKIE = "conectix";
const HEADER_COOKIE = "cxsparse";
const FOOTER_CHECKSUM_AT = 64;
const HEADER_CHECKSUM_AT = 36;
/** 2000-01-01T00:00:00Z in Unix seconds: where VHD time begins. */
const VHD_EPOCH = 946_684_800;
const TYPES = new Map<number, "fixed" | "dynamic" | "differencing">([
  [2, "fixed"],
  [3, "dynamic"],
  [4, "differencing"],
]);

export interface VhdFooter {
  readonly type: "fixed" | "dynamic" | "differencing" | "unknown";
  /** Bytes of the virtual disk ("current size"). */
  readonly size: number;
  /** Offset of the dynamic disk header. */
  readonly headerOffset: number;
}

export interface VhdHeader {
  readonly tableOffset: number;
  readonly tableEntries: number;
  readonly blockBytes: number;
}

/** Reads 512 bytes; `damaged` when they begin like a footer but their checksum is wrong. */
export function parseVhdFooter(bytes: Uint8Array): VhdFooter | "damaged" | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < VHD_FOOTER_BYTES || view.toString("latin1", 0, 8) !== COOKIE) return undefined;
  if (view.readUInt32BE(FOOTER_CHECKSUM_AT) !== checksum(view, FOOTER_CHECKSUM_AT)) return "damaged";
  return {
    type: TYPES.get(view.readUInt32BE(60)) ?? "unknown",
    size: Number(view.readBigUInt64BE(48)),
    headerOffset: Number(view.readBigUInt64BE(16)),
  };
}

/** Reads the dynamic disk header; undefined when it is none or damaged. */
export function parseVhdHeader(bytes: Uint8Array): VhdHeader | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < VHD_HEADER_BYTES || view.toString("latin1", 0, 8) !== HEADER_COOKIE) return undefined;
  if (view.readUInt32BE(HEADER_CHECKSUM_AT) !== checksum(view, HEADER_CHECKSUM_AT)) return undefined;
  return {
    tableOffset: Number(view.readBigUInt64BE(16)),
    tableEntries: view.readUInt32BE(28),
    blockBytes: view.readUInt32BE(32),
  };
}

/** The footer of a fixed VHD. `size` in bytes, a multiple of 512; `createdAt` in Unix seconds; `id` ≥ 16 bytes. */
export function fixedVhdFooter(size: number, createdAt: number, id: Uint8Array): Uint8Array {
  const footer = Buffer.alloc(VHD_FOOTER_BYTES);
  footer.write(COOKIE, 0, "latin1");
  footer.writeUInt32BE(2, 8); // features: reserved bit, always set
  footer.writeUInt32BE(0x0001_0000, 12);
  footer.fill(0xff, 16, 24); // data offset of fixed disks
  footer.writeUInt32BE(Math.max(0, Math.min(0xffff_ffff, createdAt - VHD_EPOCH)), 24);
  footer.write("ckm ", 28, "latin1");
  footer.writeUInt32BE(0x0001_0000, 32);
  footer.write("Wi2k", 36, "latin1");
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  const { cylinders, heads, sectors } = diskGeometry(size / VHD_SECTOR_BYTES);
  footer.writeUInt16BE(cylinders, 56);
  footer.writeUInt8(heads, 58);
  footer.writeUInt8(sectors, 59);
  footer.writeUInt32BE(2, 60);
  footer.set(id.subarray(0, 16), 68);
  footer.writeUInt32BE(checksum(footer, FOOTER_CHECKSUM_AT), FOOTER_CHECKSUM_AT);
  return footer;
}

/** Cylinders, heads and sectors for a number of 512-byte sectors (appendix "CHS Calculation"). */
function diskGeometry(totalSectors: number): { cylinders: number; heads: number; sectors: number } {
  const total = Math.min(totalSectors, 65_535 * 16 * 255);
  if (total >= 65_535 * 16 * 63) return { cylinders: Math.floor(total / 255 / 16), heads: 16, sectors: 255 };
  let sectors = 17;
  let tracks = Math.floor(total / sectors);
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
  if (tracks >= heads * 1024 || heads > 16) {
    sectors = 31;
    heads = 16;
    tracks = Math.floor(total / sectors);
  }
  if (tracks >= heads * 1024) {
    sectors = 63;
    heads = 16;
    tracks = Math.floor(total / sectors);
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectors };
}

/** One's complement of the sum of all bytes but those of the checksum itself. */
function checksum(bytes: Uint8Array, checksumAt: number): number {
  let sum = 0;
  for (const [i, byte] of bytes.entries()) if (i < checksumAt || i >= checksumAt + 4) sum += byte;
  return ~sum >>> 0;
}
