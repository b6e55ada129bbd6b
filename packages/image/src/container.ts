import { AppError } from "@ckmesh/core";
import { ByteSink } from "./byte-sink.js";
import { MAX_CONTAINER_BYTES } from "./constants.js";
import { VarintReader } from "./varint.js";

const LITERAL = 0;
const DISK = 1;
const FILL = 2;
/** Equal bytes that are worth a record of their own. */
const MIN_FILL_BYTES = 16;
/** What a container file may have beside twice its disk. */
const FILE_SLACK_BYTES = 64 * 2 ** 20;

/** One stretch of the input file, in file order. */
export type ContainerSegment =
  | { readonly type: "literal"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: "disk"; readonly offset: number; readonly length: number; readonly diskOffset: number }
  | { readonly type: "fill"; readonly offset: number; readonly length: number; readonly byte: number };

/**
 * Builds the `container` section: the recipe of the input file as literal bytes, ranges of the disk and
 * runs of one byte. Records: 0, length, bytes · 1, length, signed distance of the disk offset from the end
 * of the last disk range · 2, byte, length; lengths are varints.
 */
export class ContainerWriter {
  readonly #sink = new ByteSink();
  #nextDisk = 0;

  disk(diskOffset: number, length: number): void {
    if (length === 0) return;
    this.#sink.byte(DISK);
    this.#sink.varint(length);
    this.#sink.signed(diskOffset - this.#nextDisk);
    this.#nextDisk = diskOffset + length;
  }

  /**
   * Bytes beside the disk; runs of one byte cost little.
   * @throws {AppError} ERR_DISK_INVALID when there are too many
   */
  bytes(bytes: Uint8Array): void {
    let literal = 0;
    for (let at = 0; at < bytes.length; ) {
      const byte = bytes[at] ?? 0;
      let end = at + 1;
      while (end < bytes.length && bytes[end] === byte) end += 1;
      if (end - at >= MIN_FILL_BYTES) {
        this.#literal(bytes.subarray(literal, at));
        this.#sink.byte(FILL);
        this.#sink.byte(byte);
        this.#sink.varint(end - at);
        literal = end;
      }
      at = end;
    }
    this.#literal(bytes.subarray(literal));
    if (this.#sink.length > MAX_CONTAINER_BYTES) {
      throw new AppError(
        "ERR_DISK_INVALID",
        `the disk file holds more than ${MAX_CONTAINER_BYTES} bytes outside its disk; convert it to a raw image`,
      );
    }
  }

  finish(): Uint8Array {
    return this.#sink.finish();
  }

  #literal(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#sink.byte(LITERAL);
    this.#sink.varint(bytes.length);
    this.#sink.bytes(bytes);
  }
}

/**
 * Walks a `container` section in file order. Literals are views.
 * @throws {AppError} ERR_INDEX_INVALID when a segment leaves the disk or the file grows beyond all measure
 */
export function* containerSegments(section: Uint8Array, diskSize: number): Generator<ContainerSegment> {
  const reader = new VarintReader(section, "container");
  const limit = diskSize * 2 + FILE_SLACK_BYTES;
  let offset = 0;
  let nextDisk = 0;
  while (!reader.isAtEnd) {
    const type = reader.byte();
    const byte = type === FILL ? reader.byte() : 0;
    const length = reader.varint();
    if (length < 1 || offset + length > limit) throw reader.invalid("the file it describes is too large");
    if (type === LITERAL) {
      yield { type: "literal", offset, bytes: reader.bytes(length) };
    } else if (type === DISK) {
      const diskOffset = nextDisk + reader.signed();
      if (diskOffset < 0 || diskOffset + length > diskSize) throw reader.invalid("a range leaves the disk");
      nextDisk = diskOffset + length;
      yield { type: "disk", offset, length, diskOffset };
    } else if (type === FILL) {
      yield { type: "fill", offset, length, byte };
    } else {
      throw reader.invalid(`it has a segment of unknown type ${type}`);
    }
    offset += length;
  }
}
