import { type Clock, describeError, type Logger } from "@ckmesh/core";
import { RandomAccessFile } from "../files/random-access-file.js";

/** A kill costs the notes of this time: their rows then count as from the origin, never as too little WAN. */
const FLUSH_MS = 500;
/** Notes are written in blocks of so many rows. */
const BLOCK_ROWS = 4096;

/** How each row came, one byte a row (0: not noted), beside the pack. Kept in memory, written behind. */
export class SourceNotes {
  readonly #file: RandomAccessFile;
  readonly #codes: Uint8Array;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #dirty = new Set<number>();
  #writing: Promise<void> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;

  private constructor(file: RandomAccessFile, codes: Uint8Array, clock: Clock, logger: Logger) {
    this.#file = file;
    this.#codes = codes;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** @throws {AppError} ERR_STORE_FULL */
  static async open(path: string, rows: number, clock: Clock, logger: Logger): Promise<SourceNotes> {
    const file = await RandomAccessFile.open(path, "create");
    try {
      await file.setSize(rows);
      return new SourceNotes(file, await file.read(0, rows), clock, logger);
    } catch (err) {
      await file.close();
      throw err;
    }
  }

  /** The code of a row; 0 when its note is lost or was never made. */
  code(row: number): number {
    return this.#codes[row] ?? 0;
  }

  get isEmpty(): boolean {
    return this.#codes.every((code) => code === 0);
  }

  set(first: number, count: number, code: number): void {
    this.#codes.fill(code, first, first + count);
    const last = Math.floor((first + count - 1) / BLOCK_ROWS);
    for (let block = Math.floor(first / BLOCK_ROWS); block <= last; block++) this.#dirty.add(block);
    this.#cancelTimer ??= this.#clock.after(FLUSH_MS, () => {
      this.flush().catch((err: unknown) => {
        // Written with the next ones; until then a crash makes these rows count as from the origin.
        this.#logger.warn(
          { reason: describeError(err), file: this.#file.path },
          "notes of sources not written",
        );
      });
    });
  }

  /** Writes what is new. @throws {AppError} ERR_STORE_FULL; nothing is forgotten then */
  async flush(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const run = this.#writing.catch(() => {}).then(() => this.#write()); // whoever began that one hears of it
    this.#writing = run;
    await run;
  }

  /** Writes what is new, as far as there is room. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } catch (err) {
      this.#logger.warn(
        { reason: describeError(err), file: this.#file.path },
        "notes of sources not written",
      );
    }
    await this.#file.close();
  }

  async #write(): Promise<void> {
    for (const block of this.#dirty) {
      this.#dirty.delete(block);
      try {
        await this.#file.write(
          block * BLOCK_ROWS,
          this.#codes.subarray(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS),
        );
      } catch (err) {
        this.#dirty.add(block);
        throw err;
      }
    }
  }
}
