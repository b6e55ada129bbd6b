import { Bitfield, isAppError, type Logger, MIB, type Run, rowBlocks } from "@ckmesh/core";
import type { ImageRows, ImageStore } from "@ckmesh/store";
import { RowAssembler } from "../rows/row-assembler.js";

/** Frames that local packs seem to hold. */
export interface LocalPlan {
  readonly rows: Bitfield;
  /** Frames that are wanted at all; undefined: every one. */
  readonly wanted?: Bitfield;
  /** Copies them, each hashed before it is stored. Ends early when `signal` fires. */
  copy(signal: AbortSignal, onStored: (runs: readonly Run[]) => void): Promise<void>;
}

/** Hashes looked up at once. */
const LOOKUP_BATCH = 1000;
/** Longest single read. */
const READ_BYTES = MIB;

export interface LocalPlanOptions {
  readonly files: ImageRows;
  readonly store: Pick<ImageStore, "hints" | "background">;
  /** An open version by its name in the hints; undefined when it is not there any more. */
  readonly openPack: (pack: string) => ImageRows | undefined;
  readonly logger: Logger;
}

/** Looks the missing frames up among the frames of all local packs. The frame table must be known. */
export async function planLocal(options: LocalPlanOptions, missing: Bitfield): Promise<LocalPlan> {
  const { files, store } = options;
  const { frames } = files;
  const { layout } = files.table;
  const rows = new Bitfield(layout.rows);
  const packs: string[] = [];
  const packOf = new Uint16Array(layout.frameRows);
  const offsetOf = new Float64Array(layout.frameRows);
  if (frames === undefined) throw new Error("unreachable: local plan without frame table");
  for (const run of missing.runs(true, layout.pieceRows)) {
    for (let row = run.first; row < run.first + run.count; row += LOOKUP_BATCH) {
      const count = Math.min(LOOKUP_BATCH, run.first + run.count - row);
      const hashes = Array.from({ length: count }, (_, i) => frames.hash(row - layout.pieceRows + i));
      const hints = await store.hints.find(hashes);
      for (const [i, hint] of hints.entries()) {
        const frame = row - layout.pieceRows + i;
        if (hint === undefined || hint.length !== frames.packedLength(frame)) continue;
        const source = options.openPack(hint.pack);
        if (source === undefined || source === files) continue;
        let pack = packs.indexOf(hint.pack);
        if (pack < 0) pack = packs.push(hint.pack) - 1;
        packOf[frame] = pack;
        offsetOf[frame] = hint.offset;
        rows.add(row + i);
      }
    }
  }
  const place = (row: number): Place => {
    const frame = row - layout.pieceRows;
    return {
      pack: packs[packOf[frame] ?? 0] ?? "",
      offset: offsetOf[frame] ?? 0,
      length: frames.packedLength(frame),
    };
  };
  return { rows, copy: (signal, onStored) => copyPlanned(rows, place, options, signal, onStored) };
}

/** Where a frame lies in another pack. */
export interface Place {
  /** Whatever names the pack. */
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
}

async function copyPlanned(
  rows: Bitfield,
  place: (row: number) => Place,
  options: LocalPlanOptions,
  signal: AbortSignal,
  onStored: (runs: readonly Run[]) => void,
): Promise<void> {
  for (const planned of rows.runs()) {
    for (const { run, from } of adjacentRuns(planned, place)) {
      // Read, and written again.
      await options.store.background.io?.admit(2 * from.length, signal);
      if (signal.aborted) return;
      const stored = await copyRun(run, from, options);
      if (stored.length > 0) onStored(stored);
    }
  }
}

/** Cuts a run into those whose frames also lie one after the other where they are now. */
export function* adjacentRuns(
  planned: Run,
  place: (row: number) => Place,
): Generator<{ run: Run; from: Place }> {
  const end = planned.first + planned.count;
  for (let first = planned.first; first < end; ) {
    const from = place(first);
    let { length } = from;
    let row = first + 1;
    for (; row < end; row++) {
      const next = place(row);
      if (next.pack !== from.pack || next.offset !== from.offset + length) break;
      if (length + next.length > READ_BYTES) break;
      length += next.length;
    }
    yield { run: { first, count: row - first }, from: { ...from, length } };
    first = row;
  }
}

/** @returns the rows stored; a frame that is not what the hint said is left to other sources */
async function copyRun(run: Run, from: Place, options: LocalPlanOptions): Promise<readonly Run[]> {
  const { files, logger } = options;
  const source = options.openPack(from.pack);
  if (source === undefined || files.have.hasAll(run.first, run.count)) return [];
  let bytes: Uint8Array;
  try {
    bytes = await source.readPack(from.offset, from.length);
  } catch (err) {
    if (!isAppError(err)) throw err;
    logger.warn({ err, pack: from.pack }, "local frames could not be read");
    return [];
  }
  try {
    const { good } = new RowAssembler(files.table, run).push(bytes);
    for (const part of good) {
      await files.write(part.run, part.bytes, "previous");
    }
    return good.map((part) => part.run);
  } finally {
    rowBlocks.give(bytes);
  }
}
