import { AppError } from "@ckmesh/core";
import { containerSegments } from "./container.js";

/** Plain data, so that threads can share it. */
export interface ExtentArrays {
  /** Rising. */
  readonly diskStarts: Float64Array;
  readonly fileStarts: Float64Array;
  readonly lengths: Float64Array;
}

/** Where the bytes of a disk lie in its file; what no extent covers is zero. */
export class DiskExtents {
  readonly arrays: ExtentArrays;

  constructor(arrays: ExtentArrays) {
    this.arrays = arrays;
  }

  /** The whole disk at the start of its file: raw, or a fixed VHD. */
  static flat(size: number): DiskExtents {
    return new DiskExtents({
      diskStarts: Float64Array.of(0),
      fileStarts: Float64Array.of(0),
      lengths: Float64Array.of(size),
    });
  }

  /**
   * Reads a `container` section.
   * @throws {AppError} ERR_INDEX_INVALID, also when two ranges of the file show the same disk bytes
   */
  static decode(section: Uint8Array, diskSize: number): { extents: DiskExtents; fileLength: number } {
    let count = 0;
    let fileLength = 0;
    for (const segment of containerSegments(section, diskSize)) {
      if (segment.type === "disk") count += 1;
      fileLength = segment.offset + (segment.type === "literal" ? segment.bytes.length : segment.length);
    }
    const starts = new Float64Array(count);
    const files = new Float64Array(count);
    const lengths = new Float64Array(count);
    const order = new Uint32Array(count);
    let i = 0;
    for (const segment of containerSegments(section, diskSize)) {
      if (segment.type !== "disk") continue;
      starts[i] = segment.diskOffset;
      files[i] = segment.offset;
      lengths[i] = segment.length;
      order[i] = i;
      i += 1;
    }
    order.sort((a, b) => (starts[a] ?? 0) - (starts[b] ?? 0));
    const pick = (from: Float64Array): Float64Array => Float64Array.from(order, (at) => from[at] ?? 0);
    const arrays = { diskStarts: pick(starts), fileStarts: pick(files), lengths: pick(lengths) };
    for (let k = 1; k < count; k += 1) {
      if ((arrays.diskStarts[k - 1] ?? 0) + (arrays.lengths[k - 1] ?? 0) > (arrays.diskStarts[k] ?? 0)) {
        throw new AppError(
          "ERR_INDEX_INVALID",
          "section container is damaged: two ranges overlap in the disk",
        );
      }
    }
    return { extents: new DiskExtents(arrays), fileLength };
  }

  /** Calls `visit` for each stretch of disk bytes [first, first + length) that the file has, in disk order. */
  forEach(
    first: number,
    length: number,
    visit: (diskOffset: number, fileOffset: number, bytes: number) => void,
  ): void {
    const { diskStarts, fileStarts, lengths } = this.arrays;
    const end = first + length;
    for (let i = this.#find(first); i < diskStarts.length; i += 1) {
      const start = diskStarts[i] ?? 0;
      if (start >= end) return;
      const from = Math.max(start, first);
      const to = Math.min(start + (lengths[i] ?? 0), end);
      if (from < to) visit(from, (fileStarts[i] ?? 0) + from - start, to - from);
    }
  }

  /** The last extent that begins at or before `diskOffset`; 0 when none does. */
  #find(diskOffset: number): number {
    const { diskStarts } = this.arrays;
    let low = 0;
    let high = diskStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((diskStarts[middle] ?? 0) <= diskOffset) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }
}
