import { setImmediate } from "node:timers/promises";
import {
  Bitfield,
  type Clock,
  describeError,
  equalBytes,
  type Logger,
  type Run,
  rowBlocks,
} from "@ckmesh/core";
import type { FrameTable } from "@ckmesh/image";
import { type IoPacer, openIndex, type VersionFiles } from "@ckmesh/store";
import type { LocalPlanner } from "../local/combine-plans.js";
import { adjacentRuns, type LocalPlan, type Place } from "../local/local-plan.js";
import { RowAssembler } from "../rows/row-assembler.js";
import { FolderFile } from "./folder-file.js";
import { listStaged, type StagedPair } from "./staged-pair.js";
import { within } from "./within.js";

/** Pairs of the image that are looked at, newest first; those further away have less in common. */
const MAX_PAIRS = 8;
/** All of the looking; a folder that takes longer does not answer, or is no help. */
const LOOK_MS = 30_000;
/** Frames between turns of the event loop. */
const TURN_FRAMES = 16_384;

export interface EqualFramesOptions {
  readonly folder: string;
  /** The version that is wanted. */
  readonly files: VersionFiles;
  /** What is read and written passes here; absent: as fast as it goes. */
  readonly io?: IoPacer | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Frames that the wanted version has in common with other versions of its image whose pairs lie in a folder: found
 * by their hashes, each proven before it is stored.
 */
export class EqualFrames {
  readonly #options: EqualFramesOptions;
  #isBusy = false;

  constructor(options: EqualFramesOptions) {
    this.#options = options;
  }

  get folder(): string {
    return this.#options.folder;
  }

  /** More may come from it. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** The frame table must be known. */
  readonly plan: LocalPlanner = async (missing) => {
    const { folder, clock, logger } = this.#options;
    this.#isBusy = true;
    let wanted: WantedFrames | undefined;
    try {
      wanted = await within(clock, LOOK_MS, this.#look(missing));
    } finally {
      this.#isBusy = (wanted?.found.count ?? 0) > 0;
    }
    const rows = wanted?.found ?? new Bitfield(missing.length);
    logger.info({ folder, frames: rows.count }, "frames found in other versions of a folder");
    return {
      rows,
      copy: async (signal, onStored) => {
        if (wanted !== undefined) await this.#copy(wanted, signal, onStored);
      },
    };
  };

  async #look(missing: Bitfield): Promise<WantedFrames> {
    const wanted = await WantedFrames.of(this.#options.files, missing);
    for (const pair of await this.#pairs()) {
      const frames = await this.#framesOf(pair);
      if (frames !== undefined) await wanted.findIn(frames, pair.packPath);
    }
    return wanted;
  }

  /** Of the image, but of other versions. */
  async #pairs(): Promise<readonly StagedPair[]> {
    const { folder, files, logger } = this.#options;
    const { head, idHex } = files.signed;
    try {
      const found = await listStaged(folder, head.name);
      const pairs = found.flatMap((each) => ("pair" in each ? [each.pair] : []));
      return pairs.filter(({ signed }) => signed.idHex !== idHex).slice(0, MAX_PAIRS);
    } catch (err) {
      logger.warn({ folder, reason: describeError(err) }, "other versions of a folder not looked at");
      return [];
    }
  }

  async #framesOf({ indexPath }: StagedPair): Promise<FrameTable | undefined> {
    try {
      return await (await openIndex(indexPath)).frames();
    } catch (err) {
      this.#options.logger.warn({ file: indexPath, reason: describeError(err) }, "index passed over");
      return undefined;
    }
  }

  async #copy(
    wanted: WantedFrames,
    signal: AbortSignal,
    onStored: Parameters<LocalPlan["copy"]>[1],
  ): Promise<void> {
    try {
      for (const path of wanted.packs) if (!(await this.#copyFrom(path, wanted, signal, onStored))) return;
    } finally {
      this.#isBusy = false;
    }
  }

  /** @returns false when the folder no longer answers */
  async #copyFrom(
    path: string,
    wanted: WantedFrames,
    signal: AbortSignal,
    onStored: Parameters<LocalPlan["copy"]>[1],
  ): Promise<boolean> {
    const { files, io } = this.#options;
    return await FolderFile.use(path, this.#options, async (file) => {
      // What has come from elsewhere meanwhile, or from the pack before, is not written again.
      const isWanted = (row: number): boolean => !files.have.has(row) && wanted.place(row).pack === path;
      for (const planned of runsOf(wanted.found, isWanted)) {
        for (const { run, from } of adjacentRuns(planned, (row) => wanted.place(row))) {
          // Read there, and written here.
          await io?.admit(2 * from.length, signal);
          if (signal.aborted || file.isGone) return;
          const bytes = await file.read(from.length, from.offset);
          if (bytes === undefined) continue;
          try {
            const { good } = new RowAssembler(files.table, run).push(bytes);
            for (const part of good) await files.write(part.run, part.bytes, "host");
            if (good.length > 0) onStored(good.map((part) => part.run));
          } finally {
            rowBlocks.give(bytes);
          }
        }
      }
    });
  }
}

/** Runs of those rows of which something is true when their turn comes. */
function* runsOf(rows: Bitfield, isWanted: (row: number) => boolean): Generator<Run> {
  for (const { first, count } of rows.runs()) {
    for (let row = first; row < first + count; row++) {
      const start = row;
      while (row < first + count && isWanted(row)) row++;
      if (row > start) yield { first: start, count: row - start };
    }
  }
}

/** Frames that are missing, by their hashes, and where they were found. No object per frame. */
class WantedFrames {
  /** Rows of those that were found. */
  readonly found: Bitfield;
  readonly #files: VersionFiles;
  readonly #frames: FrameTable;
  /** Frame + 1, by the beginning of its hash; the next free slot where two begin alike. */
  readonly #slots: Uint32Array;
  readonly #packs: string[] = [];
  readonly #packOf: Uint8Array;
  readonly #offsetOf: Float64Array;

  private constructor(files: VersionFiles, missing: Bitfield) {
    const { frames } = files;
    const { frameRows } = files.table.layout;
    if (frames === undefined) throw new Error("unreachable: equal frames without frame table");
    this.found = new Bitfield(missing.length);
    this.#files = files;
    this.#frames = frames;
    this.#packOf = new Uint8Array(frameRows);
    this.#offsetOf = new Float64Array(frameRows);
    this.#slots = new Uint32Array(missing.count * 2 + 1);
  }

  /** @param missing rows of frames */
  static async of(files: VersionFiles, missing: Bitfield): Promise<WantedFrames> {
    const wanted = new WantedFrames(files, missing);
    const { pieceRows } = files.table.layout;
    for (const { first, count } of missing.runs(true, pieceRows)) {
      for (let frame = first - pieceRows; frame < first - pieceRows + count; frame += 1) {
        wanted.#slots[wanted.#slotOf(wanted.#frames.hash(frame))] = frame + 1;
        if (frame % TURN_FRAMES === 0) await setImmediate();
      }
    }
    return wanted;
  }

  get packs(): readonly string[] {
    return this.#packs;
  }

  /** Finds what another version has of them and no version before had. */
  async findIn(other: FrameTable, packPath: string): Promise<void> {
    const pack = this.#packs.push(packPath);
    for (let k = 0; k < other.count; k += 1) {
      if (k % TURN_FRAMES === 0) await setImmediate();
      const frame = (this.#slots[this.#slotOf(other.hash(k))] ?? 0) - 1;
      if (frame < 0 || this.#packOf[frame] !== 0) continue;
      if (other.packedLength(k) !== this.#frames.packedLength(frame)) continue;
      this.#packOf[frame] = pack;
      this.#offsetOf[frame] = other.offset(k);
      this.found.add(this.#files.table.layout.pieceRows + frame);
    }
  }

  place(row: number): Place {
    const frame = row - this.#files.table.layout.pieceRows;
    return {
      pack: this.#packs[(this.#packOf[frame] ?? 0) - 1] ?? "",
      offset: this.#offsetOf[frame] ?? 0,
      length: this.#frames.packedLength(frame),
    };
  }

  /** Where the frame of this hash is, or would be put. */
  #slotOf(hash: Uint8Array): number {
    const [a = 0, b = 0, c = 0, d = 0] = hash;
    let slot = (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % this.#slots.length;
    for (let frame = this.#slots[slot] ?? 0; frame !== 0; frame = this.#slots[slot] ?? 0) {
      if (equalBytes(this.#frames.hash(frame - 1), hash)) break;
      slot = (slot + 1) % this.#slots.length;
    }
    return slot;
  }
}
