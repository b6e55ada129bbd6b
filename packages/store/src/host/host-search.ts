import { SECTOR_ID_BYTES } from "@ckmesh/image";
import type { BlockRuns } from "./block-runs.js";
import type { HostFiles } from "./host-files.js";
import { keyOrder } from "./key-order.js";

/** Paths that one search hands out at most, as characters: of some 300,000 files. */
const MAX_PATH_CHARACTERS = 32 * 1024 * 1024;

/** Files whose paths are looked up at once. */
const LOOKUP_FILES = 1000;

export interface HostSearchTask {
  /** 6-byte ids of the sectors of some frames, frame by frame. */
  readonly ids: Uint8Array;
  /** Sectors of each of these frames. */
  readonly counts: Uint8Array;
}

/** Where the sectors of frames may lie. Hints: what is read there is hashed before it is used. */
export interface HostPlaces {
  readonly paths: readonly string[];
  /** By sector: 1 + index into `paths`; 0 for all sectors of a frame of which not every one was found. */
  readonly fileOf: Uint32Array;
  /** By sector: which 4-KiB block of the file. */
  readonly blockOf: Uint32Array;
}

/** Finds frames all of whose sectors lie on the host. Reads each run once. */
export async function searchHost(
  { ids, counts }: HostSearchTask,
  files: HostFiles,
  runs: BlockRuns,
): Promise<HostPlaces> {
  const sectors = ids.length / SECTOR_ID_BYTES;
  const { keys, order } = sortedKeys(ids, sectors);
  const fileOf = new Uint32Array(sectors);
  const blockOf = new Uint32Array(sectors);
  await runs.find(keys, (i, file, block) => {
    const sector = order[i] ?? 0;
    if (fileOf[sector] !== 0 || !files.isLive(file)) return;
    fileOf[sector] = file;
    blockOf[sector] = block;
  });
  dropPartial(fileOf, counts);
  const paths = await namePaths(fileOf, files);
  dropPartial(fileOf, counts);
  return { paths, fileOf, blockOf };
}

function sortedKeys(ids: Uint8Array, sectors: number): { keys: Float64Array; order: Uint32Array } {
  const bytes = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);
  const high = Uint32Array.from({ length: sectors }, (_, i) => bytes.readUInt32BE(i * SECTOR_ID_BYTES));
  const low = Uint16Array.from({ length: sectors }, (_, i) => bytes.readUInt16BE(i * SECTOR_ID_BYTES + 4));
  const order = keyOrder(high, low, sectors);
  const keys = Float64Array.from(order, (i) => (high[i] ?? 0) * 2 ** 16 + (low[i] ?? 0));
  return { keys, order };
}

/** A frame that lacks one sector is of no use. */
function dropPartial(fileOf: Uint32Array, counts: Uint8Array): void {
  let first = 0;
  for (const count of counts) {
    const frame = fileOf.subarray(first, first + count);
    if (frame.includes(0)) frame.fill(0);
    first += count;
  }
}

/** Puts indexes of paths in the place of numbers of files; 0 where the file is gone, or beyond what is handed out. */
async function namePaths(fileOf: Uint32Array, files: HostFiles): Promise<readonly string[]> {
  const numbers = [...new Set(fileOf)].filter((number) => number !== 0);
  const paths: string[] = [];
  const indexOf = new Map<number, number>();
  let characters = 0;
  for (let at = 0; at < numbers.length && characters < MAX_PATH_CHARACTERS; at += LOOKUP_FILES) {
    const some = numbers.slice(at, at + LOOKUP_FILES);
    for (const [i, path] of (await files.paths(some)).entries()) {
      if (path === undefined) continue;
      indexOf.set(some[i] ?? 0, paths.push(path));
      characters += path.length;
    }
  }
  for (let sector = 0; sector < fileOf.length; sector += 1)
    fileOf[sector] = indexOf.get(fileOf[sector] ?? 0) ?? 0;
  return paths;
}
