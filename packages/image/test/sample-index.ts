import { type KeyObject, randomBytes } from "node:crypto";
import { sha256 } from "@ckmesh/core";
import {
  type BuiltIndex,
  type ByteSource,
  buildIndex,
  FRAME_RECORD_BYTES,
  HASH_BYTES,
  type IndexHead,
  type SectionKind,
  SectorMapWriter,
  writeFrameRecord,
} from "../src/index.js";

/** A head and sections of `frames` stored frames of one sector each, shown one after the other on a raw disk. */
export function sampleParts(
  frames = 3,
  packedLength = 100,
): {
  head: Omit<IndexHead, "sections" | "hashesSha256">;
  sections: Map<Exclude<SectionKind, "hashes">, Uint8Array>;
} {
  const size = frames * 4096;
  const records = new Uint8Array(frames * FRAME_RECORD_BYTES);
  for (let i = 0; i < frames; i += 1) {
    writeFrameRecord(records.subarray(i * FRAME_RECORD_BYTES), {
      packedLength,
      sectors: 1,
      hash: sha256(Buffer.from(`packed ${i}`)),
      rawHash: sha256(Buffer.from(`raw ${i}`)),
    });
  }
  const map = new SectorMapWriter();
  map.add(0, 0, frames);
  const pages = Math.ceil(size / (1 << 20));
  // Recipe of a raw disk: one range of the disk, its length as a varint, at distance 0.
  const container = Uint8Array.of(1, ...varint(size), 0);
  return {
    head: {
      name: "Sample",
      version: 7,
      createdAt: 1_700_000_000,
      requires: [],
      disk: { size, format: "raw", gridOffset: 0 },
      codecs: [{ name: "zstd", level: 3, fingerprint: new Uint8Array(HASH_BYTES).fill(9), firstFrame: 0 }],
      pack: { length: 64 + frames * packedLength, sha256: new Uint8Array(HASH_BYTES).fill(5) },
      counts: { frames, sectors: frames, kept: 0 },
      secret: new Uint8Array(32).fill(7),
    },
    sections: new Map([
      ["container", container],
      ["frames", records],
      ["map", map.finish()],
      ["pages", new Uint8Array(randomBytes(pages * HASH_BYTES))],
    ]),
  };
}

export function sampleIndex(signers: readonly KeyObject[] = [], frames = 3): BuiltIndex {
  const { head, sections } = sampleParts(frames);
  return buildIndex(head, sections, signers);
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    length: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
  };
}

export function varint(value: number): readonly number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}
