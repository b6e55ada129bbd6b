import type { PublisherSignature } from "./signatures.js";

/** The sections of an index, in the order in which they follow its head. */
export const SECTION_KINDS = [
  "hashes",
  "container",
  "frames",
  "kept",
  "map",
  "pages",
  "ids",
  "refs",
] as const;
export type SectionKind = (typeof SECTION_KINDS)[number];

export const DISK_FORMATS = ["raw", "vhd-fixed", "vhd-dynamic"] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

export interface Section {
  readonly kind: SectionKind;
  /** Byte offset in the index. */
  readonly offset: number;
  readonly length: number;
  readonly pieceLength: number;
}

export interface CodecEntry {
  /** `store`: all frames of an opaque pack, as they are. */
  readonly name: "zstd" | "store";
  /** Compression level; 0 when it is not known. */
  readonly level: number;
  /** SHA-256 of the codec's outputs for a fixed vector: who has another cannot re-create these frames. 32 bytes. */
  readonly fingerprint: Uint8Array;
  /** The entry holds from this frame to the next entry's. */
  readonly firstFrame: number;
}

/** What the heads of images and of deltas have in common. */
export interface HeadCommon {
  readonly name: string;
  readonly version: number;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Features that a reader must know to use this version. */
  readonly requires: readonly string[];
  readonly codecs: readonly CodecEntry[];
  /** `length`: the whole file; `sha256`: bytes 64 to the end, for an opaque pack the whole file. */
  readonly pack: { readonly length: number; readonly sha256: Uint8Array };
  /** `kept`: frames of section A, which come first. */
  readonly counts: { readonly frames: number; readonly sectors: number; readonly kept: number };
  /** 32 random bytes: who has them may join the swarm. */
  readonly secret: Uint8Array;
  readonly sections: readonly Section[];
  /** SHA-256 of the `hashes` section. */
  readonly hashesSha256: Uint8Array;
}

/** A version, named beyond doubt. */
export interface VersionRef {
  readonly version: number;
  /** Version id. */
  readonly id: Uint8Array;
}

export interface IndexHead extends HeadCommon {
  /** The version whose frames section A keeps. */
  readonly previous?: VersionRef;
  /** Absent: an opaque pack, which has no disk to rebuild. */
  readonly disk?: { readonly size: number; readonly format: DiskFormat; readonly gridOffset: number };
}

/** The head of a delta; its `version` is that of the target, and it keeps no frames. */
export interface DeltaHead extends HeadCommon {
  /** The version that whoever applies it holds. */
  readonly base: VersionRef;
  /** The version whose frames it yields. */
  readonly target: VersionRef;
}

/** What the frames of a pack need to know of its head. */
export type PackFacts = Pick<HeadCommon, "counts" | "pack"> &
  Partial<Pick<IndexHead, "disk"> & Pick<DeltaHead, "target">>;

/** True for a pack that is not of our making: stored frames, no header. */
export function isOpaquePack(head: PackFacts): boolean {
  return head.disk === undefined && head.target === undefined;
}

export interface SignedHead<H extends HeadCommon = IndexHead> {
  readonly head: H;
  /** Version id: SHA-256 of the encoded head. */
  readonly id: Uint8Array;
  readonly idHex: string;
  /** The msgpack bytes of the head, as signed. */
  readonly headBytes: Uint8Array;
  readonly signatures: readonly PublisherSignature[];
}
