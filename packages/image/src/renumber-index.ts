import type { KeyObject } from "node:crypto";
import { AppError } from "@ckmesh/core";
import { type BuiltIndex, buildIndex } from "./index-builder.js";
import type { IndexFile } from "./index-file.js";
import { SECTION_KINDS, type SectionKind } from "./index-head.js";

export interface Renumbering {
  readonly version: number;
  /** Unix seconds. */
  readonly createdAt: number;
  /** 32 random bytes, new ones: who had the old version's need not have these. */
  readonly secret: Uint8Array;
  /** Ed25519 private keys. */
  readonly signers: readonly KeyObject[];
}

/**
 * The index of a later version with the content of `old`, which it names as the version before it: every frame is kept,
 * so its pack is the old one byte for byte, but for the header.
 * @throws {AppError} ERR_INDEX_INVALID when `old` is damaged, ERR_FORMAT_UNSUPPORTED for an opaque pack
 */
export async function renumberIndex(old: IndexFile, to: Renumbering): Promise<BuiltIndex> {
  const { head, signed } = old;
  if (head.disk === undefined) {
    throw new AppError(
      "ERR_FORMAT_UNSUPPORTED",
      `version ${head.version} of ${head.name} is an opaque pack, which has no frames that a later one could keep`,
    );
  }
  const sections = new Map<Exclude<SectionKind, "hashes">, Uint8Array>();
  for (const kind of SECTION_KINDS) {
    const isThere = head.sections.some((section) => section.kind === kind);
    if (kind === "hashes" || kind === "kept" || !isThere) continue;
    sections.set(kind, await old.section(kind)); // oxlint-disable-line no-await-in-loop -- one file
  }
  const { frames } = head.counts;
  sections.set("kept", allMarked(frames));
  const { sections: _sections, hashesSha256: _hashes, ...common } = head;
  return buildIndex(
    {
      ...common,
      version: to.version,
      previous: { version: head.version, id: signed.id },
      createdAt: to.createdAt,
      counts: { ...head.counts, kept: frames },
      secret: to.secret,
    },
    sections,
    to.signers,
  );
}

/** A bit per frame, most significant first; spare bits zero. */
function allMarked(frames: number): Uint8Array {
  const bits = new Uint8Array(Math.ceil(frames / 8)).fill(0xff);
  const spare = bits.length * 8 - frames;
  if (spare > 0) bits[bits.length - 1] = (0xff << spare) & 0xff;
  return bits;
}
