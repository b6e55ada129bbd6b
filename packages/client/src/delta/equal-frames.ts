import { type AppError, isAppError, type Logger, MIB, type Run, rowBlocks } from "@ckmesh/core";
import type { ImageRows } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import { type FrameMatch, matchFrames } from "../donor/frame-match.js";
import { RowAssembler } from "../rows/row-assembler.js";

export interface EqualFramesOptions {
  readonly from: Pick<ImageRows, "frames" | "table" | "read">;
  readonly to: Pick<ImageRows, "frames" | "table" | "have" | "write">;
  /** The row is neither there nor about to come another way. */
  readonly lacks: (row: number) => boolean;
  readonly onStored: (runs: readonly Run[]) => void;
  /** Nothing more is copied. */
  readonly onFault: (err: AppError) => void;
  readonly logger: Logger;
}

/** Frames that a version between and the one after it have in common: copied to the latter as they come. */
export class EqualFrames {
  readonly #options: EqualFramesOptions;
  readonly #match: FrameMatch;
  /** Never rejects: nobody may be waiting for it when a write fails. */
  #copying: Promise<void> = Promise.resolve();
  #failure: AppError | undefined;
  #isStopped = false;

  private constructor(options: EqualFramesOptions, match: FrameMatch) {
    this.#options = options;
    this.#match = match;
  }

  /** Both frame tables are known. */
  static async find(options: EqualFramesOptions): Promise<EqualFrames> {
    const { from, to } = options;
    if (from.frames === undefined || to.frames === undefined)
      throw new Error("unreachable: match without frame tables");
    return new EqualFrames(options, await matchFrames(from.frames, to.frames));
  }

  /** Rows of `from` that `to` lacks. */
  *wanted(): Generator<number> {
    const { pieceRows } = this.#options.from.table.layout;
    for (const [frame] of this.#match.targetOf.entries())
      if (this.#lackedRow(pieceRows + frame) !== undefined) yield pieceRows + frame;
  }

  /** These rows of `from` are held now. */
  came(runs: readonly Run[]): void {
    if (this.#isStopped) return;
    const pairs: { from: number; to: number }[] = [];
    for (const { first, count } of runs)
      for (let row = first; row < first + count; row++) {
        const to = this.#lackedRow(row);
        if (to !== undefined) pairs.push({ from: row, to });
      }
    if (pairs.length > 0)
      this.#copying = this.#copying
        .then(() => this.#copy(pairs))
        .catch((err: unknown) => this.#fail(asAppError(err)));
  }

  /** All that came is copied. @throws {AppError} ERR_STORE_FULL; then what came later is not copied */
  async copied(): Promise<void> {
    await this.#copying;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends with the run under way. Safe to call twice. */
  async close(): Promise<void> {
    this.#isStopped = true;
    await this.#copying;
  }

  #fail(err: AppError): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#failure = err;
    this.#options.onFault(err);
  }

  async #copy(pairs: readonly { from: number; to: number }[]): Promise<void> {
    for (const { run, to } of joined(pairs, this.#options.from)) {
      if (this.#isStopped) return;
      const target = { first: to, count: run.count };
      if (this.#options.to.have.hasAll(target.first, target.count)) continue;
      const stored = await this.#copyRun(run, target);
      if (stored.length > 0) this.#options.onStored(stored);
    }
  }

  /** What was damaged since it came is left to other sources. */
  async #copyRun(run: Run, target: Run): Promise<readonly Run[]> {
    const { from, to, logger } = this.#options;
    let bytes: Uint8Array;
    try {
      bytes = await from.read(run);
    } catch (err) {
      if (!isAppError(err)) throw err;
      logger.warn({ err }, "frames of a step could not be read");
      return [];
    }
    try {
      const { good } = new RowAssembler(to.table, target).push(bytes);
      for (const part of good) await to.write(part.run, part.bytes, "previous");
      return good.map((part) => part.run);
    } finally {
      rowBlocks.give(bytes);
    }
  }

  #lackedRow(row: number): number | undefined {
    const { from, to, lacks } = this.#options;
    const frame = this.#match.targetOf[row - from.table.layout.pieceRows] ?? -1;
    if (frame < 0) return undefined;
    const at = to.table.layout.pieceRows + frame;
    return lacks(at) ? at : undefined;
  }
}

/** Neighbours in both as runs, each short enough for one read. */
function* joined(
  pairs: readonly { from: number; to: number }[],
  { table }: Pick<ImageRows, "table">,
): Generator<{ run: Run; to: number }> {
  for (let i = 0; i < pairs.length; ) {
    const first = pairs[i];
    if (first === undefined) return;
    let bytes = table.length(first.from);
    let count = 1;
    for (; i + count < pairs.length; count += 1) {
      const next = pairs[i + count];
      if (next === undefined || next.from !== first.from + count || next.to !== first.to + count) break;
      bytes += table.length(next.from);
      if (bytes > MIB) break;
    }
    yield { run: { first: first.from, count }, to: first.to };
    i += count;
  }
}
