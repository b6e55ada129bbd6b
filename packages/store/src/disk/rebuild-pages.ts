import { AppError, equalBytes, isAppError, sha256 } from "@ckmesh/core";
import { DiskExtents, type DiskShape, HASH_BYTES, PAGE_BYTES, pageBytes, SECTOR_BYTES } from "@ckmesh/image";
import { writeChanged, writeFully } from "../files/file-io.js";
import type { RebuildTask, WorkerSetup } from "../image-tasks.js";
import type { FrameReader } from "../pack/frame-reader.js";
import { zeroPage, zeroPageHash } from "../pack/zero-bytes.js";

/** Zero runs of this length and grid become holes in the file. */
const HOLE_BYTES = 64 * 1024;

/** Numbers per copy: frame, first sector within it, count, place in the buffer in sectors. */
const COPY_FIELDS = 4;

/** Rebuilds the pages of one task in `buffer`, proves each by its hash, and writes them. */
export async function rebuildPages(
  reader: FrameReader,
  disk: DiskShape,
  out: WorkerSetup["out"],
  buffer: Uint8Array,
  task: RebuildTask,
): Promise<void> {
  const bytes = buffer.subarray(0, task.pages * PAGE_BYTES);
  zeroGaps(bytes, task);
  try {
    // The hashes of the pages prove the frames as well; which of them is to blame shows only when they do not.
    await copySectors(reader, bytes, task, reader.isChecking);
    proveAndWrite(bytes, disk, out, task);
  } catch (err) {
    if (isAppError(err, "ERR_PACK_INVALID") && !reader.isChecking)
      await copySectors(reader, bytes, task, true);
    throw err;
  }
}

/** @throws {AppError} ERR_PACK_INVALID for the first page that is not the one of the index */
function proveAndWrite(bytes: Uint8Array, disk: DiskShape, out: WorkerSetup["out"], task: RebuildTask): void {
  const extents = out === undefined ? undefined : new DiskExtents(out.extents);
  for (let i = 0; i < task.pages; i += 1) {
    const page = task.firstPage + i;
    const { first, length, skip } = pageBytes(disk, page);
    const content = bytes.subarray(i * PAGE_BYTES + skip, i * PAGE_BYTES + skip + length);
    const isZero = Buffer.compare(content, zeroPage.subarray(0, length)) === 0;
    const hash = isZero && length === PAGE_BYTES ? zeroPageHash : sha256(content);
    if (!equalBytes(hash, task.hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))) {
      throw new AppError("ERR_PACK_INVALID", `page ${page} of the rebuilt disk does not match its hash`, {
        details: { page },
      });
    }
    if (out === undefined || (isZero && !out.isClone)) continue;
    const write = out.isClone ? writeChanged : writeSparse;
    extents?.forEach(first, length, (diskOffset, fileOffset, count) => {
      write(out.fd, content.subarray(diskOffset - first, diskOffset - first + count), fileOffset);
    });
  }
}

/** Zeros what no run covers: most of a disk is covered, and filling all of it first costs as much as hashing it. */
function zeroGaps(bytes: Uint8Array, { runs, firstPage }: RebuildTask): void {
  const base = firstPage * PAGE_BYTES;
  let at = 0;
  for (let i = 0; i < runs.length; i += 3) {
    const start = (runs[i] ?? 0) * SECTOR_BYTES - base;
    if (at < start) bytes.fill(0, at, start);
    at = start + (runs[i + 1] ?? 0) * SECTOR_BYTES;
  }
  bytes.fill(0, at);
}

/**
 * Decodes each frame that the runs name once and copies its sectors to their places.
 * @throws {AppError} ERR_PACK_INVALID when a frame cannot be decoded; where they are to be proven, when it is damaged
 */
async function copySectors(
  reader: FrameReader,
  bytes: Uint8Array,
  task: RebuildTask,
  areProven: boolean,
): Promise<void> {
  const copies = listCopies(reader, task);
  const order = Uint32Array.from({ length: copies.length / COPY_FIELDS }, (_, i) => i * COPY_FIELDS);
  order.sort((a, b) => (copies[a] ?? 0) - (copies[b] ?? 0));
  const frames: number[] = [];
  for (const at of order) {
    const frame = copies[at] ?? 0;
    if (frame !== frames.at(-1)) frames.push(frame);
  }
  let next = 0;
  const copy = (frame: number, raw: Uint8Array): void => {
    for (; next < order.length && copies[order[next] ?? 0] === frame; next += 1) {
      const at = order[next] ?? 0;
      const from = (copies[at + 1] ?? 0) * SECTOR_BYTES;
      const length = (copies[at + 2] ?? 0) * SECTOR_BYTES;
      bytes.set(raw.subarray(from, from + length), (copies[at + 3] ?? 0) * SECTOR_BYTES);
    }
  };
  if (areProven) await reader.read(frames, true, copy);
  else await reader.decodeUnproven(frames, copy);
}

function listCopies({ table }: FrameReader, task: RebuildTask): readonly number[] {
  const copies: number[] = [];
  const base = (task.firstPage * PAGE_BYTES) / SECTOR_BYTES;
  for (let i = 0; i < task.runs.length; i += 3) {
    let place = (task.runs[i] ?? 0) - base;
    let sector = task.runs[i + 2] ?? 0;
    const end = sector + (task.runs[i + 1] ?? 0);
    for (let frame = table.frameOf(sector); sector < end; frame += 1) {
      const count = Math.min(end, table.firstSector(frame + 1)) - sector;
      copies.push(frame, sector - table.firstSector(frame), count, place);
      sector += count;
      place += count;
    }
  }
  return copies;
}

/** Writes all but long runs of zeros, which stay holes. */
function writeSparse(fd: number, bytes: Uint8Array, position: number): void {
  let start = 0;
  for (let at = 0; at < bytes.length; at += HOLE_BYTES) {
    const end = Math.min(at + HOLE_BYTES, bytes.length);
    if (Buffer.compare(bytes.subarray(at, end), zeroPage.subarray(0, end - at)) !== 0) continue;
    if (start < at) writeFully(fd, bytes.subarray(start, at), position + start);
    start = end;
  }
  if (start < bytes.length) writeFully(fd, bytes.subarray(start), position + start);
}
