import type { Run } from "@ckmesh/core";
import type { IndexHead } from "@ckmesh/image";
import { DecodedFrames, type OpenDecoded } from "./decoded-frames.js";
import { RowFiles } from "./row-files.js";
import type { SourceBytes } from "./row-source.js";
import { statOrNone } from "./stored-versions.js";

/** The rows of a version, or of a part of one, of which frames may be here decoded that this machine cannot pack as its publisher did. */
export abstract class ImageRows extends RowFiles<IndexHead> {
  #decoded: DecodedFrames | undefined;
  #opening: Promise<DecodedFrames> | undefined;

  /**
   * All of it is here for a disk, and to start from for a delta, though it is not complete: this machine cannot pack
   * some frames as its publisher did, and has them decoded.
   */
  get isDecoded(): boolean {
    const { have } = this;
    if (this.#decoded === undefined || have.count + this.#decoded.frames.size < have.length) return false;
    return [...have.runs(false)].every((run) => this.hasFrames(run));
  }

  /** Rows held count by how they came; those that are here decoded came of a delta. */
  override get bytes(): SourceBytes {
    const bytes = super.bytes;
    let decoded = 0;
    for (const row of this.decodedRows()) decoded += this.table.length(row);
    return { ...bytes, delta: bytes.delta + decoded };
  }

  /** Without those that are here decoded only: their packed frames may still come. */
  get packedBytes(): SourceBytes {
    return super.bytes;
  }

  /** The row is not held, but its decoded frame is here. */
  hasDecoded(row: number): boolean {
    return !this.have.has(row) && this.#decoded?.frames.has(row - this.table.layout.pieceRows) === true;
  }

  /** Rows of frames that are here decoded only. */
  *decodedRows(): Generator<number> {
    for (const frame of this.#decoded?.frames ?? []) {
      const row = this.table.layout.pieceRows + frame;
      if (!this.have.has(row)) yield row;
    }
  }

  /** Each frame of these rows is here, packed or decoded. */
  hasFrames({ first, count }: Run): boolean {
    for (let row = first; row < first + count; row++)
      if (!this.have.has(row) && !this.hasDecoded(row)) return false;
    return true;
  }

  /** The decoded frame of a row, proven; undefined when it is not here. */
  async readDecoded(row: number): Promise<Uint8Array | undefined> {
    return await this.#decoded?.read(row - this.table.layout.pieceRows);
  }

  /** Keeps a frame decoded, whose raw hash the caller has just checked. @throws {AppError} ERR_STORE_FULL */
  async writeDecoded(row: number, raw: Uint8Array): Promise<void> {
    if (this.have.has(row)) return;
    this.#opening ??= this.#openDecoded();
    await (await this.#opening).add(row - this.table.layout.pieceRows, raw);
  }

  /** The decoded frames for worker threads; the caller closes the file. Undefined: there are none. */
  async openDecoded(): Promise<OpenDecoded | undefined> {
    return await this.#decoded?.openSetup();
  }

  override async checkpoint(): Promise<void> {
    await this.#decoded?.sync();
    await super.checkpoint();
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#opening?.catch(() => {}); // whoever opened it has heard of that
    await this.#decoded?.close();
    this.#decoded = this.#opening = undefined;
  }

  /** Those that an earlier run has left; the frame table tells which they are. */
  protected async findDecoded(): Promise<void> {
    if (this.frames === undefined || (await statOrNone(this.paths.decoded)) === undefined) return;
    this.#opening = this.#openDecoded();
    await this.#opening;
  }

  /** All frames are here packed. */
  protected async removeDecoded(): Promise<void> {
    const decoded = this.#decoded;
    this.#decoded = this.#opening = undefined;
    await decoded?.remove();
  }

  async #openDecoded(): Promise<DecodedFrames> {
    const { frames } = this;
    if (frames === undefined) throw new Error("unreachable: decoded frames before the frame table");
    this.#decoded = await DecodedFrames.open(this.paths.decoded, frames);
    return this.#decoded;
  }
}
