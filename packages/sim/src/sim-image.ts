import { MIB } from "@ckmesh/core";

/** The rows of an image: index pieces first, then frames, in bytes. */
export interface SimImage {
  readonly lengths: Uint32Array;
  /** Rows that are index pieces; the first is the `hashes` section. */
  readonly pieces: number;
  readonly bytes: number;
  /** Where a span ends: at 2 MiB as in production, but after four rows at least, or claims could show no progress. */
  readonly spanBytes?: number;
}

/**
 * An image of about `bytes`, its index 0.08 % of it as packs have it.
 * @param rowBytes bytes of a frame: 64 KiB as in production, more to simulate large fleets with fewer events
 */
export function simImage(bytes: number, rowBytes = 65_536): SimImage {
  const index = Math.max(1, Math.ceil((bytes * 0.0008) / 65_536));
  const frames = Math.max(1, Math.round(bytes / rowBytes));
  const lengths = new Uint32Array(1 + index + frames).fill(rowBytes);
  lengths.fill(65_536, 0, 1 + index);
  lengths[0] = 4096;
  return {
    lengths,
    pieces: 1 + index,
    bytes: lengths.reduce((a, b) => a + b, 0),
    spanBytes: Math.max(2 * MIB, 4 * rowBytes),
  };
}
