import { closeSync, constants, openSync, writeSync } from "node:fs";
import { equalBytes, sha256 } from "@ckmesh/core";
import { type FrameTable, IndexFile } from "@ckmesh/image";
import { OpenedFile } from "../publish/opened-file.js";
import { PackCheck, requireLength } from "../publish/pack-check.js";
import { KnownFrames } from "./known-frames.js";

/** A published pair whose frames may be copied. */
export interface FrameSource {
  readonly indexPath: string;
  readonly packPath: string;
}

export interface Filled {
  /** Bytes that are there now. */
  readonly received: number;
  /** First and last byte wanted next, when not all that follow. */
  readonly missing?: readonly [number, number];
}

/** Known bytes between two missing runs that are not worth another request. */
const WORTHWHILE_GAP_BYTES = 256 * 1024;

/**
 * Follows the file of a pack that is being uploaded, with its index at hand: checks what has come, and copies frames
 * that lie in published packs. Blocks while it works: runs in a worker thread.
 */
export class PackFollow {
  readonly #signed: IndexFile["signed"];
  readonly #frames: FrameTable;
  readonly #check: PackCheck;
  readonly #fd: number;
  readonly #file: OpenedFile;
  readonly #known: KnownFrames | undefined;
  readonly #sources: readonly OpenedFile[];

  private constructor(
    parts: { readonly index: IndexFile; readonly frames: FrameTable; readonly packPath: string },
    known: KnownFrames | undefined,
    sources: readonly OpenedFile[],
  ) {
    const { index, frames, packPath } = parts;
    this.#signed = index.signed;
    this.#frames = frames;
    this.#known = known;
    this.#sources = sources;
    this.#file = OpenedFile.open(packPath);
    this.#fd = openSync(packPath, constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0));
    this.#check = new PackCheck(this.#file, frames, index.signed);
  }

  /**
   * The index is one that `verifyIndex` let pass; the header of the pack is there.
   * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID
   */
  static async open(paths: {
    readonly indexPath: string;
    readonly packPath: string;
    readonly sources: readonly FrameSource[];
  }): Promise<PackFollow> {
    const indexFile = OpenedFile.open(paths.indexPath);
    try {
      const index = await IndexFile.open(indexFile);
      const frames = await index.frames();
      if (paths.sources.length === 0)
        return new PackFollow({ index, frames, packPath: paths.packPath }, undefined, []);
      const known = new KnownFrames(frames);
      const sources: OpenedFile[] = [];
      for (const source of paths.sources) {
        if (known.unknownCount === 0) break;
        const opened = await addSource(known, source, sources.length); // oxlint-disable-line no-await-in-loop -- the newest first, and no more than needed
        if (opened !== undefined) sources.push(opened);
      }
      return new PackFollow({ index, frames, packPath: paths.packPath }, known, sources);
    } finally {
      indexFile.close();
    }
  }

  /**
   * Checks about 1 MiB of the first `received` bytes; false when there is nothing left to check.
   * @throws {AppError} ERR_PACK_INVALID
   */
  step(received: number): boolean {
    return this.#check.step(received);
  }

  /** @throws {AppError} ERR_PACK_INVALID when the file, which is complete, is not the pack */
  finish(total: number): void {
    requireLength(total, this.#signed.head.pack.length);
    while (this.#check.step(total));
    this.#check.finish(total);
  }

  /**
   * Copies what is known behind the first `received` bytes, until `isOver`.
   * @returns what is there then; a single byte as missing where time ran out, so that the next one goes on
   */
  fill(received: number, total: number, isOver: () => boolean): Filled {
    const known = this.#known;
    const frames = this.#frames;
    if (known === undefined || total !== this.#signed.head.pack.length) return { received };
    let at = received;
    let frame = frameAt(frames, received);
    for (; frame < frames.count; frame += 1) {
      const place = known.find(frame);
      if (place === undefined) break;
      if (isOver()) return { received: at, missing: [at, at] };
      const bytes = this.#readKnown(frame, place.pack, place.offset);
      if (bytes === undefined) {
        known.forget(frame);
        break;
      }
      const skip = at - frames.offset(frame);
      if (!this.#write(bytes.subarray(skip), at)) return { received: at };
      // What came before within the frame is for the check to read.
      if (skip === 0 && this.#check.nextFrame === frame) this.#check.accept(bytes);
      at = frames.offset(frame + 1);
    }
    const missing = known.missingFrom(frame, WORTHWHILE_GAP_BYTES);
    return missing === undefined
      ? { received: at }
      : { received: at, missing: [Math.max(at, missing.first), missing.end - 1] };
  }

  close(): void {
    this.#file.close();
    closeSync(this.#fd);
    for (const source of this.#sources) source.close();
  }

  /** A frame as it lies in a published pack; undefined when it is not there as it should be. */
  #readKnown(frame: number, pack: number, offset: number): Uint8Array | undefined {
    const bytes = Buffer.allocUnsafe(this.#frames.packedLength(frame));
    try {
      this.#sources[pack]?.readInto(bytes, offset);
    } catch {
      return undefined; // Shorter than it was or unreadable: the client sends the frame.
    }
    return equalBytes(sha256(bytes), this.#frames.hash(frame)) ? bytes : undefined;
  }

  /** False when there is no space: the next fragment finds out too, and its answer says so. */
  #write(bytes: Uint8Array, at: number): boolean {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        done += writeSync(this.#fd, bytes, done, bytes.byteLength - done, at + done);
      }
      return true;
    } catch {
      return false;
    }
  }
}

/** Undefined when the pair cannot be read: it only means that more comes over the wire. */
async function addSource(
  known: KnownFrames,
  source: FrameSource,
  number: number,
): Promise<OpenedFile | undefined> {
  try {
    const indexFile = OpenedFile.open(source.indexPath);
    try {
      const table = await (await IndexFile.open(indexFile)).frames();
      const opened = OpenedFile.open(source.packPath);
      known.add(number, table);
      return opened;
    } finally {
      indexFile.close();
    }
  } catch {
    return undefined;
  }
}

/** The frame that holds a byte of the pack; the first one for the header. */
function frameAt(frames: FrameTable, byte: number): number {
  let low = 0;
  let high = frames.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (frames.offset(middle + 1) <= byte) low = middle + 1;
    else high = middle;
  }
  return low;
}
