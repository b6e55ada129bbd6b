import { SECTOR_ID_BYTES } from "@ckmesh/image";

/** A run of blocks on the disk is a row of these: 6-byte id, u32 number of the file, u32 number of the block. */
export const RECORD_BYTES = SECTOR_ID_BYTES + 8;

const FILE_AT = SECTOR_ID_BYTES;
const BLOCK_AT = FILE_AT + 4;

/** An id as a number: 48 bits, so exact. */
export function recordKey(records: Buffer, at: number): number {
  return records.readUIntBE(at, SECTOR_ID_BYTES);
}

export function recordFile(records: Buffer, at: number): number {
  return records.readUInt32BE(at + FILE_AT);
}

export function recordBlock(records: Buffer, at: number): number {
  return records.readUInt32BE(at + BLOCK_AT);
}

export function writeRecord(records: Buffer, at: number, key: number, file: number, block: number): void {
  records.writeUIntBE(key, at, SECTOR_ID_BYTES);
  records.writeUInt32BE(file, at + FILE_AT);
  records.writeUInt32BE(block, at + BLOCK_AT);
}
