import { createHash } from "node:crypto";
import { AppError, equalBytes, sha256 } from "@ckmesh/core";
import {
  checkPackHeader,
  checkZstdFrame,
  type FrameTable,
  PACK_HEADER_BYTES,
  type SignedHead,
} from "@ckmesh/image";
import type { OpenedFile } from "./opened-file.js";

const READ_BYTES = 1024 * 1024;

/**
 * Checks a pack from its first byte on, as far as it is there: every frame by its hash, that it can be decoded without
 * danger, and at the end the hash of the whole. Reads the bytes back: what is proven is what lies in the file.
 */
export class PackCheck {
  readonly #file: OpenedFile;
  readonly #frames: FrameTable;
  readonly #signed: SignedHead;
  readonly #whole = createHash("sha256");
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  #next = 0;

  /** @throws {AppError} ERR_PACK_INVALID when the header, which must be there, is of another version */
  constructor(file: OpenedFile, frames: FrameTable, signed: SignedHead) {
    this.#file = file;
    this.#frames = frames;
    this.#signed = signed;
    if (signed.head.disk === undefined) return;
    const header = Buffer.alloc(PACK_HEADER_BYTES);
    file.readInto(header, 0);
    checkPackHeader(header, signed);
  }

  /** The frame that is checked next. */
  get nextFrame(): number {
    return this.#next;
  }

  /**
   * Checks the next frames, about 1 MiB at most, that end at or before byte `end`. False when there are none.
   * @throws {AppError} ERR_PACK_INVALID
   */
  step(end: number): boolean {
    const frames = this.#frames;
    const first = this.#next;
    if (first >= frames.count || frames.offset(first + 1) > end) return false;
    const start = frames.offset(first);
    let last = first + 1;
    while (
      last < frames.count &&
      frames.offset(last + 1) <= end &&
      frames.offset(last + 1) - start <= READ_BYTES
    ) {
      last += 1;
    }
    const bytes = this.#buffer.subarray(0, frames.offset(last) - start);
    this.#file.readInto(bytes, start);
    for (let i = first; i < last; i += 1) {
      const frame = bytes.subarray(frames.offset(i) - start, frames.offset(i + 1) - start);
      if (!equalBytes(sha256(frame), frames.hash(i))) {
        throw new AppError(
          "ERR_PACK_INVALID",
          `frame ${i} of the pack is damaged, at byte ${frames.offset(i)}`,
        );
      }
      this.accept(frame);
    }
    return true;
  }

  /**
   * Takes the next frame as it was written, its hash being known to be right.
   * @throws {AppError} ERR_PACK_INVALID when decoding it would be dangerous
   */
  accept(frame: Uint8Array): void {
    const i = this.#next;
    if (this.#frames.codecName(i) === "zstd") checkZstdFrame(frame, this.#frames.rawLength(i));
    this.#whole.update(frame);
    this.#next += 1;
  }

  /**
   * Call once, when every frame was checked.
   * @param length of the whole file
   * @throws {AppError} ERR_PACK_INVALID
   */
  finish(length: number): void {
    const { head } = this.#signed;
    requireLength(length, head.pack.length);
    if (this.#next !== this.#frames.count) throw new Error("unreachable: frames were left out");
    if (!equalBytes(this.#whole.digest(), head.pack.sha256)) {
      throw new AppError("ERR_PACK_INVALID", "the pack does not have the hash that its index states");
    }
  }
}

/** @throws {AppError} ERR_PACK_INVALID */
export function requireLength(length: number, expected: number): void {
  if (length !== expected) {
    throw new AppError("ERR_PACK_INVALID", `the pack has ${length} of ${expected} bytes`);
  }
}
