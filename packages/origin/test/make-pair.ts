import { createHash, type KeyObject } from "node:crypto";
import { seededRandom, sha256 } from "@ckmesh/core";
import {
  buildIndex,
  encodePackHeader,
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  indexFileName,
  PACK_HEADER_BYTES,
  PAGE_BYTES,
  packFileName,
  SectorMapWriter,
  writeFrameRecord,
} from "@ckmesh/image";

export interface PairSpec {
  readonly name: string;
  readonly version: number;
  /** 64 KiB each, of noise that no codec makes smaller. */
  readonly frames?: number;
  readonly seed?: number;
  /** Unix seconds. */
  readonly createdAt?: number;
  readonly signer?: KeyObject;
}

export interface MadePair {
  readonly packName: string;
  readonly indexName: string;
  readonly pack: Buffer;
  readonly index: Buffer;
  readonly idHex: string;
}

/** A valid pair of a raw disk that is all noise: every sector unique, every frame stored as it is. */
export function makePair(spec: PairSpec): MadePair {
  const count = spec.frames ?? 3;
  const random = seededRandom(spec.seed ?? spec.version);
  const frames = Buffer.from(Uint8Array.from({ length: count * FRAME_BYTES }, () => random.next() * 256));
  const records = new Uint8Array(count * FRAME_RECORD_BYTES);
  for (let i = 0; i < count; i += 1) {
    const frame = frames.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES);
    const hash = sha256(frame);
    writeFrameRecord(records.subarray(i * FRAME_RECORD_BYTES), {
      packedLength: FRAME_BYTES,
      sectors: FRAME_BYTES / 4096,
      hash,
      rawHash: hash,
    });
  }
  const map = new SectorMapWriter();
  map.add(0, 0, count * 16);
  const pages: Uint8Array[] = [];
  for (let at = 0; at < frames.length; at += PAGE_BYTES)
    pages.push(sha256(frames.subarray(at, at + PAGE_BYTES)));
  const built = buildIndex(
    {
      name: spec.name,
      version: spec.version,
      createdAt: spec.createdAt ?? 1_700_000_000 + spec.version,
      requires: [],
      disk: { size: frames.length, format: "raw", gridOffset: 0 },
      codecs: [{ name: "zstd", level: 3, fingerprint: new Uint8Array(32), firstFrame: 0 }],
      pack: {
        length: PACK_HEADER_BYTES + frames.length,
        sha256: createHash("sha256").update(frames).digest(),
      },
      counts: { frames: count, sectors: count * 16, kept: 0 },
      secret: new Uint8Array(32).fill(7),
    },
    new Map([
      ["container", new Uint8Array(0)],
      ["frames", records],
      ["map", map.finish()],
      ["pages", Buffer.concat(pages)],
    ] as const),
    spec.signer === undefined ? [] : [spec.signer],
  );
  return {
    packName: packFileName(spec.name, spec.version),
    indexName: indexFileName(spec.name, spec.version),
    pack: Buffer.concat([encodePackHeader(PACK_HEADER_BYTES + frames.length, built.id), frames]),
    index: Buffer.concat(built.parts),
    idHex: Buffer.from(built.id).toString("hex"),
  };
}
