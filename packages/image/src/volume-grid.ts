import { SECTOR_BYTES } from "./constants.js";

/** Bytes of the sectors that partition tables count in. */
const TABLE_SECTOR_BYTES = 512;
/** The Master Boot Record: four entries of 16 bytes, then 55 AA. */
const MBR_ENTRIES_AT = 446;
const MBR_ENTRY_BYTES = 16;
const MBR_ENTRIES = 4;
/** First bytes of a volume that begins at byte 0; its boot code would pass for partition entries. */
const VOLUME_NAMES = new Set(["NTFS    ", "MSDOS5.0", "MSWIN4.1", "mkfs.fat", "EXFAT   "]);
const VOLUME_NAME_AT = 3;
/** Types of entries that are no volumes: extended partitions, and the whole disk of a GUID partition table. */
const EMPTY = 0;
const CONTAINERS = new Set([0x05, 0x0f, 0x85]);
const GUID_TABLE = 0xee;

/**
 * The grid on which the largest volume of a disk lies: the offset modulo 4096 of its first byte. File systems
 * put clusters of 4 KiB on a grid of their own; where it is not that of the disk, as in volumes that begin at
 * sector 63 (Windows XP and older), content that moves by clusters would share no sector with what it was.
 *
 * A guess costs no more than dedupe: any grid gives the disk back. Disks with a GUID partition table and those
 * without a table have grid 0: tools that write them begin at 1 MiB.
 * @param start the first 512 bytes of the disk
 * @param size bytes of the disk
 * @returns 0 to 4095, a multiple of 512
 */
export function volumeGridOffset(start: Uint8Array, size: number): number {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.length < TABLE_SECTOR_BYTES || bytes.readUInt16BE(TABLE_SECTOR_BYTES - 2) !== 0x55aa) return 0;
  if (VOLUME_NAMES.has(bytes.toString("latin1", VOLUME_NAME_AT, VOLUME_NAME_AT + 8))) return 0;
  let [largestFirst, largestCount] = [0, 0];
  for (let i = 0; i < MBR_ENTRIES; i += 1) {
    const at = MBR_ENTRIES_AT + i * MBR_ENTRY_BYTES;
    const [status, type] = [bytes[at] ?? 0, bytes[at + 4] ?? 0];
    const [first, count] = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12)];
    // Bit 7 of the status is "active", the others are zero: anything else is no partition table.
    if ((status & 0x7f) !== 0) return 0;
    if (type === GUID_TABLE) return 0;
    if (type === EMPTY || CONTAINERS.has(type) || count <= largestCount) continue;
    if (first === 0 || (first + count) * TABLE_SECTOR_BYTES > size) return 0;
    [largestFirst, largestCount] = [first, count];
  }
  return (largestFirst * TABLE_SECTOR_BYTES) % SECTOR_BYTES;
}
