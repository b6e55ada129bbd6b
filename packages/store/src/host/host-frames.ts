import { AppError, Bitfield, type Run } from "@ckmesh/core";
import { SECTOR_BYTES, SECTOR_ID_BYTES } from "@ckmesh/image";
import type { Background } from "../background.js";
import type { HostIndex } from "../host-index.js";
import { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { levelOf, type UsableCodec, usableCodecs } from "../pack/usable-codecs.js";
import type { VersionFiles } from "../versions/version-files.js";
import { HOST_FRAMES_PER_TASK, type HostFrames, type HostFramesTask } from "./host-frame-tasks.js";
import type { HostPlaces } from "./host-search.js";

/** Frames of one search: 4 GiB of content, 15 MB in memory. A search reads the whole index of the host. */
const BATCH_FRAMES = 65_536;

/** Frames of a version that one search was for, and what it found. */
interface Batch {
  readonly frames: Uint32Array;
  /** Sectors of each. */
  readonly counts: Uint8Array;
  readonly places: HostPlaces;
}

/**
 * Frames of one version out of files of the host. Needs the frame table and the section `ids`. What the index of
 * the host says is a hint; each frame is proven by its hash before it is stored.
 */
export class HostFrameSource {
  readonly #files: VersionFiles;
  readonly #index: Pick<HostIndex, "search">;
  readonly #background: Background | undefined;
  readonly #codecs: readonly UsableCodec[];
  /** The piece of `ids` that was read last. */
  #piece: { readonly row: number; readonly bytes: Uint8Array } | undefined;

  constructor(files: VersionFiles, index: Pick<HostIndex, "search">, background?: Background) {
    this.#background = background;
    this.#files = files;
    this.#index = index;
    this.#codecs = usableCodecs(files.signed.head);
  }

  /**
   * Of these rows, those of frames all of whose sectors seem to lie on the host and that can be packed here.
   * @throws {AppError} as `HostIndex.search`
   */
  async find(rows: Bitfield): Promise<Bitfield> {
    const { pieceRows } = this.#files.table.layout;
    const found = new Bitfield(rows.length);
    for await (const batch of this.#batches(rows)) {
      const starts = firstSectors(batch);
      for (const [i, frame] of batch.frames.entries())
        if (batch.places.fileOf[starts[i] ?? 0] !== 0) found.add(pieceRows + frame);
    }
    return found;
  }

  /**
   * Stores what the host still holds of these rows.
   * @throws {AppError} as `HostIndex.search` and `VersionFiles.write`
   */
  async copy(rows: Bitfield, signal: AbortSignal, onStored: (runs: readonly Run[]) => void): Promise<void> {
    const workers = new ImageWorkers({ level: 1, isBackground: this.#background !== undefined });
    try {
      for await (const batch of this.#batches(rows)) {
        if (signal.aborted) return;
        const starts = firstSectors(batch);
        const found = batch.frames.map((_, i) => i).filter((i) => batch.places.fileOf[starts[i] ?? 0] !== 0);
        const partOf = (n: number): Uint32Array =>
          found.subarray(n * HOST_FRAMES_PER_TASK, (n + 1) * HOST_FRAMES_PER_TASK);
        await runOrdered(
          Math.ceil(found.length / HOST_FRAMES_PER_TASK),
          workers.threads * 2,
          async (n) => {
            await this.#background?.io?.admit(rawBytes(batch, partOf(n)), signal);
            if (signal.aborted) throw new AppError("ERR_ABORTED", "taking frames from the host was stopped");
            return await workers.run("host", this.#task(batch, partOf(n), starts));
          },
          async (made, n) => {
            const runs = await this.#store(
              partOf(n).map((i) => batch.frames[i] ?? 0),
              made,
            );
            if (runs.length > 0) onStored(runs);
          },
        );
      }
    } catch (err) {
      if (!signal.aborted) throw err;
    } finally {
      await workers.close();
    }
  }

  async #store(frames: Uint32Array, { lengths, packed }: HostFrames): Promise<readonly Run[]> {
    const { pieceRows } = this.#files.table.layout;
    const runs: Run[] = [];
    let at = 0;
    for (const [i, frame] of frames.entries()) {
      const length = lengths[i] ?? 0;
      if (length === 0) continue;
      const run = { first: pieceRows + frame, count: 1 };
      await this.#files.write(run, packed.subarray(at, at + length), "host");
      runs.push(run);
      at += length;
    }
    return runs;
  }

  async *#batches(rows: Bitfield): AsyncGenerator<Batch> {
    const { table, frames } = this.#files;
    const { layout } = table;
    if (frames === undefined) throw new Error("unreachable: host frames without frame table");
    let batch: number[] = [];
    for (const { first, count } of rows.runs(true, layout.pieceRows)) {
      for (let frame = first - layout.pieceRows; frame < first - layout.pieceRows + count; frame += 1) {
        if (levelOf(this.#codecs, frame) === undefined || this.#files.have.has(layout.pieceRows + frame))
          continue;
        batch.push(frame);
        if (batch.length < BATCH_FRAMES) continue;
        yield await this.#search(batch);
        batch = [];
      }
    }
    if (batch.length > 0) yield await this.#search(batch);
  }

  async #search(batch: readonly number[]): Promise<Batch> {
    const { frames } = this.#files;
    if (frames === undefined) throw new Error("unreachable: host frames without frame table");
    const counts = Uint8Array.from(batch, (frame) => frames.sectorCount(frame));
    const ids = new Uint8Array(counts.reduce((sum, count) => sum + count, 0) * SECTOR_ID_BYTES);
    let at = 0;
    for (let i = 0; i < batch.length; ) {
      // Frames that follow each other have their ids in one piece.
      let next = i + 1;
      while (next < batch.length && batch[next] === (batch[next - 1] ?? 0) + 1) next += 1;
      const start = frames.firstSector(batch[i] ?? 0) * SECTOR_ID_BYTES;
      const end = frames.firstSector((batch[next - 1] ?? 0) + 1) * SECTOR_ID_BYTES;
      await this.#readIds(start, ids.subarray(at, at + end - start));
      at += end - start;
      i = next;
    }
    return { frames: Uint32Array.from(batch), counts, places: await this.#index.search({ ids, counts }) };
  }

  /** Fills `target` from a position in the section `ids`, piece by piece. */
  async #readIds(start: number, target: Uint8Array): Promise<void> {
    const { layout } = this.#files.table;
    const rows = layout.section("ids");
    if (rows === undefined) throw new Error("unreachable: host frames without ids");
    const { offset: base, length: pieceLength } = layout.piece(rows.first);
    for (let done = 0; done < target.length; ) {
      const row = rows.first + Math.floor((start + done) / pieceLength);
      // Frames that are missing lie scattered, many to a piece.
      if (this.#piece?.row !== row)
        this.#piece = { row, bytes: await this.#files.read({ first: row, count: 1 }) };
      const from = base + start + done - layout.piece(row).offset;
      const part = this.#piece.bytes.subarray(from, from + target.length - done);
      target.set(part, done);
      done += part.length;
    }
  }

  /** @param part indexes into the frames of the batch; `starts`: first sector of each */
  #task({ frames, counts, places }: Batch, part: Uint32Array, starts: Uint32Array): HostFramesTask {
    const { frames: table } = this.#files;
    if (table === undefined) throw new Error("unreachable: host frames without frame table");
    const numbers = Array.from(part, (i) => frames[i] ?? 0);
    const paths = new Map<number, number>();
    const fileOf: number[] = [];
    const blockOf: number[] = [];
    for (const i of part) {
      const first = starts[i] ?? 0;
      for (let sector = first; sector < first + (counts[i] ?? 0); sector += 1) {
        const file = places.fileOf[sector] ?? 0;
        if (!paths.has(file)) paths.set(file, paths.size + 1);
        fileOf.push(paths.get(file) ?? 0);
        blockOf.push(places.blockOf[sector] ?? 0);
      }
    }
    return {
      levels: Uint8Array.from(numbers, (frame) => levelOf(this.#codecs, frame) ?? 0),
      counts: Uint8Array.from(part, (i) => counts[i] ?? 0),
      hashes: Buffer.concat(numbers.map((frame) => table.hash(frame))),
      rawHashes: Buffer.concat(numbers.map((frame) => table.rawHash(frame))),
      paths: [...paths.keys()].map((file) => places.paths[file - 1] ?? ""),
      fileOf: Uint32Array.from(fileOf),
      blockOf: Uint32Array.from(blockOf),
    };
  }
}

function rawBytes({ counts }: Batch, part: Uint32Array): number {
  return part.reduce((sum, i) => sum + (counts[i] ?? 0), 0) * SECTOR_BYTES;
}

/** Where the sectors of each frame of a batch begin among all of its sectors. */
function firstSectors({ counts }: Batch): Uint32Array {
  const starts = new Uint32Array(counts.length);
  for (let i = 1; i < starts.length; i += 1) starts[i] = (starts[i - 1] ?? 0) + (counts[i - 1] ?? 0);
  return starts;
}
