import { fixedVhdFooter } from "../src/index.js";

/** How a dynamic VHD for tests is laid out. */
export interface DynamicVhd {
  readonly disk: Uint8Array;
  readonly blockBytes: number;
  /** Blocks in the order in which they lie in the file; the others are not allocated. */
  readonly order: readonly number[];
  /** Bytes between blocks. */
  readonly gap?: Uint8Array;
  /** Entries of the block table beyond the disk. */
  readonly spareEntries?: number;
}

/** Writes a dynamic VHD after the specification; footer copy, header, table, blocks, footer. */
export function dynamicVhd({
  disk,
  blockBytes,
  order,
  gap = new Uint8Array(0),
  spareEntries = 0,
}: DynamicVhd): Uint8Array {
  const entries = Math.ceil(disk.length / blockBytes) + spareEntries;
  const footer = Buffer.from(fixedVhdFooter(disk.length, 1_600_000_000, new Uint8Array(16).fill(3)));
  footer.writeBigUInt64BE(512n, 16);
  footer.writeUInt32BE(3, 60);
  seal(footer, 64);
  const header = Buffer.alloc(1024);
  header.write("cxsparse", "latin1");
  header.fill(0xff, 8, 16);
  header.writeBigUInt64BE(1536n, 16);
  header.writeUInt32BE(0x0001_0000, 24);
  header.writeUInt32BE(entries, 28);
  header.writeUInt32BE(blockBytes, 32);
  seal(header, 36);
  const table = Buffer.alloc(Math.ceil((entries * 4) / 512) * 512, 0xff);
  const bitmapBytes = Math.ceil(blockBytes / 512 / 8 / 512) * 512;
  const parts: Uint8Array[] = [footer, header, table];
  let at = 1536 + table.length;
  for (const block of order) {
    const padding = new Uint8Array((512 - ((at + gap.length) % 512)) % 512);
    parts.push(gap, padding);
    at += gap.length + padding.length;
    table.writeUInt32BE(at / 512, block * 4);
    const data = Buffer.alloc(blockBytes);
    data.set(disk.subarray(block * blockBytes, (block + 1) * blockBytes));
    parts.push(Buffer.alloc(bitmapBytes, 0xff), data);
    at += bitmapBytes + blockBytes;
  }
  return Buffer.concat([...parts, footer]);
}

/** Writes the checksum of a footer or header. */
export function seal(bytes: Buffer, checksumAt: number): void {
  bytes.writeUInt32BE(0, checksumAt);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.writeUInt32BE(~sum >>> 0, checksumAt);
}
