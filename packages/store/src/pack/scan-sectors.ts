import { AppError, sha256 } from "@ckmesh/core";
import {
  DiskExtents,
  gridPad,
  HASH_BYTES,
  PAGE_BYTES,
  PAGE_SECTORS,
  pageBytes,
  SECTOR_BYTES,
} from "@ckmesh/image";
import { readFully } from "../files/file-io.js";
import type { ScanTask, WorkerSetup } from "../image-tasks.js";
import { zeroPage, zeroPageHash } from "./zero-bytes.js";

/** Reads a stretch of the disk into the slot's memory, finds its zero sectors, hashes the others and all pages. */
export function scanSectors(setup: WorkerSetup, { slot, first, count }: ScanTask): void {
  const { disk } = setup;
  if (disk === undefined) throw new Error("unreachable: no disk to scan");
  const data = slot.data.subarray(0, count * SECTOR_BYTES);
  readDisk(disk, data, first);
  for (let page = 0; page * PAGE_SECTORS < count; page += 1) {
    const bytes = data.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    const sectors = bytes.length / SECTOR_BYTES;
    const number = first / PAGE_SECTORS + page;
    const { length, skip } = pageBytes(disk.shape, number);
    const isZero = Buffer.compare(bytes, zeroPage.subarray(0, bytes.length)) === 0;
    const hash = isZero && length === PAGE_BYTES ? zeroPageHash : sha256(bytes.subarray(skip, skip + length));
    slot.pages.set(hash, page * HASH_BYTES);
    if (isZero) slot.used.fill(0, page * PAGE_SECTORS, page * PAGE_SECTORS + sectors);
    else hashSectors(bytes, slot, page * PAGE_SECTORS);
  }
}

function hashSectors(bytes: Uint8Array, slot: ScanTask["slot"], base: number): void {
  const hashes = Buffer.from(slot.hashes.buffer, slot.hashes.byteOffset, slot.hashes.byteLength);
  const zero = zeroPage.subarray(0, SECTOR_BYTES);
  for (let i = 0; i * SECTOR_BYTES < bytes.length; i += 1) {
    const sector = bytes.subarray(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES);
    const isUsed = Buffer.compare(sector, zero) !== 0;
    slot.used[base + i] = isUsed ? 1 : 0;
    if (isUsed) hashes.set(sha256(sector), (base + i) * HASH_BYTES);
  }
}

/**
 * Fills `data` with the sectors of the disk from `first` on.
 * @throws {AppError} ERR_DISK_INVALID when the file is shorter than its layout says
 */
export function readDisk(disk: NonNullable<WorkerSetup["disk"]>, data: Uint8Array, first: number): void {
  const pad = gridPad(disk.shape);
  const start = first * SECTOR_BYTES - pad;
  const extents = new DiskExtents(disk.extents);
  let covered = 0;
  extents.forEach(start, data.length, (_disk, _file, bytes) => {
    covered += bytes;
  });
  if (covered < data.length) data.fill(0);
  extents.forEach(start, data.length, (diskOffset, fileOffset, bytes) => {
    const at = diskOffset - start;
    if (!readFully(disk.fd, data.subarray(at, at + bytes), fileOffset)) {
      throw new AppError(
        "ERR_DISK_INVALID",
        "the disk file became shorter while it was packed; stop what writes to it",
      );
    }
  });
}
