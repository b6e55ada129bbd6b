import { equalBytes, isAppError, sha256 } from "@ckmesh/core";
import { FRAME_BYTES, type FrameTable, SECTOR_BYTES } from "@ckmesh/image";
import { readFully, writeFully } from "../files/file-io.js";
import type { RepackTask, WorkerSetup } from "../image-tasks.js";
import type { FrameCodec } from "./codec.js";
import { CodecGarbage } from "./codec-garbage.js";
import { readDisk } from "./scan-sectors.js";

/**
 * Packs frames again from the sectors of a rebuilt disk, in a worker thread, and writes those that come out as the
 * index says. Frames that cannot be made from the disk count if they lie in the pack already.
 * @returns 1 for each frame that is in the pack now
 */
export function repackFrames(
  table: FrameTable,
  setup: { readonly disk: NonNullable<WorkerSetup["disk"]>; readonly fd: number },
  codec: FrameCodec,
  { first, count, places }: RepackTask,
): Uint8Array {
  const isThere = new Uint8Array(count);
  const raw = Buffer.allocUnsafeSlow(FRAME_BYTES);
  const held = Buffer.allocUnsafeSlow(FRAME_BYTES);
  const garbage = new CodecGarbage();
  const base = table.firstSector(first);
  for (let frame = first; frame < first + count; frame += 1) {
    const length = table.packedLength(frame);
    const from = table.firstSector(frame) - base;
    const sectors = raw.subarray(0, table.rawLength(frame));
    let packed: Uint8Array | undefined;
    if (readSectors(setup.disk, sectors, places.subarray(from, from + table.sectorCount(frame)))) {
      garbage.add();
      packed = codec.pack(sectors);
    } else if (readFully(setup.fd, held.subarray(0, length), table.offset(frame))) {
      packed = held.subarray(0, length);
    }
    if (packed === undefined || !equalBytes(sha256(packed), table.hash(frame))) continue;
    if (packed.buffer !== held.buffer) writeFully(setup.fd, packed, table.offset(frame));
    isThere[frame - first] = 1;
  }
  return isThere;
}

/** Fills `target` with sectors of the disk, by their places; false when one is not there. */
function readSectors(
  disk: NonNullable<WorkerSetup["disk"]>,
  target: Uint8Array,
  places: Float64Array,
): boolean {
  try {
    for (let i = 0; i < places.length; ) {
      const place = places[i] ?? -1;
      if (place < 0) return false;
      let end = i + 1;
      while (end < places.length && places[end] === place + end - i) end += 1;
      readDisk(disk, target.subarray(i * SECTOR_BYTES, end * SECTOR_BYTES), place);
      i = end;
    }
    return true;
  } catch (err) {
    if (!isAppError(err)) throw err;
    return false; // the disk is shorter than it was
  }
}
