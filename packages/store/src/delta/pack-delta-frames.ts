import {
  type BaseFingerprints,
  FingerprintTable,
  FRAME_BYTES,
  type IndexFile,
  MAX_FINGERPRINTS,
  planFingerprints,
  ReferenceFrames,
} from "@ckmesh/image";
import { BufferPool, sharedBytes } from "../files/buffer-pool.js";
import type { TemporaryFile } from "../files/temporary-file.js";
import type { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import type { PackFile } from "../pack/pack-file.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { BASE_FRAMES_PER_TASK, DELTA_FRAMES_PER_TASK, DELTA_LEVEL, type MakeSetup } from "./delta-tasks.js";
import { DeltaWriter, type MadeFrames } from "./delta-writer.js";

/** New frames that are compared before more of the base is fingerprinted for them: 32 MiB, for all threads. */
const WINDOW_FRAMES = 512;
/** Frames of the base that stay decoded, 64 MiB for all threads: most of what dictionaries are made of vanished. */
const MAX_HELD_FRAMES = 1024;

export interface DeltaPacks {
  readonly target: IndexFile;
  /** Without a setup. */
  readonly workers: ImageWorkers;
  readonly basePack: PackFile;
  readonly targetPack: PackFile;
  readonly pack: TemporaryFile;
}

/**
 * Packs the frames of the target that are worth it into the pack of the delta, in their order. First what vanished
 * with this version and a sample of the rest of the base are fingerprinted; then, for one window of new frames after
 * the other, they are compared with that, what lies around the hits is fingerprinted, and they are packed. So what
 * comes out depends on the versions alone, whatever the number of threads.
 * @param missing frames that the base does not have, rising
 * @throws {AppError} ERR_PACK_INVALID, ERR_INDEX_INVALID, ERR_STORE_FULL, ERR_ABORTED
 */
export async function packDeltaFrames(
  options: WorkOptions,
  { target, workers, basePack, targetPack, pack }: DeltaPacks,
  missing: Uint32Array,
): Promise<MadeFrames> {
  const writer = new DeltaWriter(pack, targetPack.frames);
  if (missing.length === 0) return writer.finish();
  const references = new ReferenceFrames(basePack.frames, targetPack.frames, await target.map());
  const make = makeSetup(basePack, references, missing.length);
  workers.setUp({ level: DELTA_LEVEL, pack: targetPack.setup, base: basePack.setup, make });
  const run = new DeltaRun(workers, new FingerprintTable(make.plan, make.slots), options);
  await run.fingerprint(references.first, (bytesDone, bytesTotal) => {
    options.onProgress?.({ phase: "references", bytesDone, bytesTotal });
  });
  const rawBytes = (frames: Uint32Array): number =>
    frames.reduce((sum, frame) => sum + targetPack.frames.rawLength(frame), 0);
  const bytesTotal = rawBytes(missing);
  let bytesDone = 0;
  for (let start = 0; start < missing.length; start += WINDOW_FRAMES) {
    const window = missing.subarray(start, start + WINDOW_FRAMES);
    // oxlint-disable-next-line no-await-in-loop -- the windows share their memory
    await run.fingerprint(references.near(await run.compare(window)));
    // oxlint-disable-next-line no-await-in-loop
    await run.pack(window, writer, (frames) => {
      bytesDone += rawBytes(frames);
      options.onProgress?.({ phase: "delta", bytesDone, bytesTotal });
    });
  }
  return writer.finish();
}

function makeSetup({ frames }: PackFile, references: ReferenceFrames, missing: number): MakeSetup {
  const { first, vanished } = references;
  const sectors = first.reduce((sum, frame) => sum + frames.sectorCount(frame), 0);
  const plan = planFingerprints(frames.sectors, sectors);
  const windowFrames = Math.min(WINDOW_FRAMES, missing);
  const held = vanished.slice(0, MAX_HELD_FRAMES);
  return {
    plan,
    slots: sharedWords(2 ** plan.slotBits),
    window: {
      raw: sharedBytes(windowFrames * FRAME_BYTES),
      hashes: sharedWords(windowFrames * MAX_FINGERPRINTS),
      counts: sharedWords(windowFrames),
    },
    held: { frames: held, raw: sharedBytes(held.length * FRAME_BYTES) },
  };
}

function sharedWords(count: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(count * Uint32Array.BYTES_PER_ELEMENT));
}

/** Hands the frames of each step to the threads, and ends when all of them are through. */
class DeltaRun {
  readonly #workers: ImageWorkers;
  readonly #table: FingerprintTable;
  readonly #options: WorkOptions;
  readonly #tasksInFlight: number;
  /** Shared and used again: messages with so much in them are garbage that is freed late. */
  readonly #found: BufferPool<BaseFingerprints>;

  constructor(workers: ImageWorkers, table: FingerprintTable, options: WorkOptions) {
    this.#workers = workers;
    this.#table = table;
    this.#options = options;
    this.#tasksInFlight = workers.threads * 2;
    const most = BASE_FRAMES_PER_TASK * MAX_FINGERPRINTS;
    this.#found = new BufferPool(this.#tasksInFlight, () => ({
      hashes: sharedWords(most),
      buckets: sharedWords(most),
    }));
  }

  /** @param onDone bytes of frames that are done, of all of them */
  async fingerprint(frames: Uint32Array, onDone?: (done: number, total: number) => void): Promise<void> {
    await this.#each(
      frames,
      BASE_FRAMES_PER_TASK,
      async (part) => {
        const found = await this.#found.take();
        return { found, count: await this.#workers.run("fingerprint", { frames: part, found }) };
      },
      ({ found, count }, part, place) => {
        this.#table.add(found, count);
        this.#found.give(found);
        onDone?.((place + part.length) * FRAME_BYTES, frames.length * FRAME_BYTES);
      },
    );
  }

  /** The frames of the base that these have a good part of. */
  async compare(window: Uint32Array): Promise<ReadonlySet<number>> {
    const hits = new Set<number>();
    await this.#each(
      window,
      DELTA_FRAMES_PER_TASK,
      async (frames, place) => await this.#workers.run("compare", { frames, place }),
      (found) => {
        for (const frame of found) hits.add(frame);
      },
    );
    return hits;
  }

  async pack(window: Uint32Array, writer: DeltaWriter, onDone: (frames: Uint32Array) => void): Promise<void> {
    await this.#each(
      window,
      DELTA_FRAMES_PER_TASK,
      async (frames, place) => await this.#workers.run("delta", { frames, place }),
      async (made, frames) => {
        await writer.add(made);
        onDone(frames);
      },
    );
  }

  /** Runs a task per `perTask` frames; `place` is that of the first of them. */
  async #each<R>(
    frames: Uint32Array,
    perTask: number,
    start: (part: Uint32Array, place: number) => Promise<R>,
    consume: (result: R, part: Uint32Array, place: number) => void | Promise<void>,
  ): Promise<void> {
    const part = (i: number): Uint32Array => frames.slice(i * perTask, (i + 1) * perTask);
    await runOrdered(
      Math.ceil(frames.length / perTask),
      this.#tasksInFlight,
      async (i) => {
        throwIfStopped(this.#options.signal);
        return await start(part(i), i * perTask);
      },
      async (result, i) => await consume(result, part(i), i * perTask),
    );
  }
}
