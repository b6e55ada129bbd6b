import { type Run, rowBlocks } from "@ckmesh/core";
import type { RowSource } from "@ckmesh/store";
import type { RowBytes } from "./row-assembler.js";
import type { SwarmFiles } from "./swarm-files.js";

/** Longest single write. */
const MAX_WRITE_BYTES = 1024 * 1024;

/**
 * Writes proven rows of one run, in order. While one write is under way the next rows gather and go as one:
 * slow links write what they have at once, fast ones write large blocks.
 */
export class RowWriter {
  readonly #files: SwarmFiles;
  readonly #source: RowSource;
  readonly #onStored: (runs: readonly Run[]) => void;
  #pending: RowBytes[] = [];
  #unwritten = 0;
  #running: Promise<void> | undefined;
  #failure: { readonly err: unknown } | undefined;

  constructor(files: SwarmFiles, source: RowSource, onStored: (runs: readonly Run[]) => void) {
    this.#files = files;
    this.#source = source;
    this.#onStored = onStored;
  }

  /** Bytes added and not yet on the disk. */
  get unwrittenBytes(): number {
    return this.#unwritten;
  }

  add(rows: RowBytes): void {
    this.#pending.push(rows);
    this.#unwritten += rows.bytes.byteLength;
    if (this.#running !== undefined) return;
    this.#running = this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  /** Waits until all is on the disk. @throws {AppError} ERR_STORE_FULL, ERR_INDEX_INVALID */
  async flush(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure.err;
  }

  /** Never rejects: `flush` tells. */
  async #drain(): Promise<void> {
    await Promise.resolve(); // what is added in this turn goes along
    while (this.#pending.length > 0 && this.#failure === undefined) {
      const batch = this.#nextBatch();
      try {
        await this.#files.write(batch.run, batch.bytes, this.#source);
        this.#onStored([batch.run]);
      } catch (err) {
        this.#failure = { err };
        this.#pending = [];
      }
      this.#unwritten -= batch.bytes.byteLength;
      if (batch.isJoined) rowBlocks.give(batch.bytes);
    }
    if (this.#failure !== undefined) this.#unwritten = 0;
  }

  /** Adjacent rows from the front, as one. */
  #nextBatch(): RowBytes & { readonly isJoined: boolean } {
    let count = 0;
    let bytes = 0;
    let end = this.#pending[0]?.run.first ?? 0;
    for (const { run, bytes: part } of this.#pending) {
      if (run.first !== end || (count > 0 && bytes + part.byteLength > MAX_WRITE_BYTES)) break;
      end = run.first + run.count;
      bytes += part.byteLength;
      count += 1;
    }
    const parts = this.#pending.splice(0, count);
    const [only] = parts;
    if (only !== undefined && parts.length === 1) return { ...only, isJoined: false };
    const first = parts[0]?.run.first ?? 0;
    const joined = rowBlocks.take(bytes);
    let at = 0;
    for (const part of parts) {
      joined.set(part.bytes, at);
      at += part.bytes.byteLength;
    }
    return { run: { first, count: end - first }, bytes: joined, isJoined: true };
  }
}
