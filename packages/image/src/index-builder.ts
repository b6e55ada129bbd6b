import type { KeyObject } from "node:crypto";
import { sha256 } from "@ckmesh/core";
import { HASH_BYTES } from "./constants.js";
import { encodeHead } from "./head-codec.js";
import { type HeadCommon, type IndexHead, SECTION_KINDS, type SectionKind } from "./index-head.js";
import { RowLayout } from "./row-layout.js";
import { layOutSections } from "./section-layout.js";

export interface BuiltIndex<H extends HeadCommon = IndexHead> {
  readonly head: H;
  /** Version id. */
  readonly id: Uint8Array;
  /** The index is these one after the other. */
  readonly parts: readonly Uint8Array[];
  readonly length: number;
}

/** The sections behind `hashes`, which is made of them. */
export type SectionBytes = ReadonlyMap<Exclude<SectionKind, "hashes">, Uint8Array>;

/** A head before its sections are laid out. */
export type HeadDraft<H extends HeadCommon> = Omit<H, "sections" | "hashesSha256">;

/** Puts an index together: hashes all pieces, completes the head, signs it. */
export function buildIndex(
  head: HeadDraft<IndexHead>,
  sections: SectionBytes,
  signers: readonly KeyObject[],
): BuiltIndex {
  const proof = proveSections(head, sections);
  const complete: IndexHead = { ...head, ...proof.fields };
  return joinIndex(complete, encodeHead(complete, signers), proof);
}

/** Sections with their hashes. */
export interface ProvenSections {
  /** What the head says of them. */
  readonly fields: Pick<HeadCommon, "sections" | "hashesSha256">;
  readonly parts: readonly Uint8Array[];
}

/** Lays out sections and hashes their pieces. */
export function proveSections(head: Pick<HeadCommon, "counts">, sections: SectionBytes): ProvenSections {
  const layout = layOutSections(new Map([...sections].map(([kind, bytes]) => [kind, bytes.length])));
  const byKind = new Map<SectionKind, Uint8Array>(sections);
  const rows = new RowLayout({ counts: head.counts, sections: layout });
  const own = rows.section("hashes") ?? { first: 0, count: 0 };
  const hashes = new Uint8Array((rows.pieceRows - own.count) * HASH_BYTES);
  for (let row = own.count; row < rows.pieceRows; row += 1) {
    const { kind, offset, length } = rows.piece(row);
    const start = offset - (layout.find((section) => section.kind === kind)?.offset ?? 0);
    hashes.set(
      sha256(byKind.get(kind)?.subarray(start, start + length) ?? hashes),
      (row - own.count) * HASH_BYTES,
    );
  }
  byKind.set("hashes", hashes);
  return {
    fields: { sections: layout, hashesSha256: sha256(hashes) },
    parts: SECTION_KINDS.flatMap((kind) => byKind.get(kind) ?? []),
  };
}

/** A signed head and its sections as one index. */
export function joinIndex<H extends HeadCommon>(
  head: H,
  { bytes, id }: { readonly bytes: Uint8Array; readonly id: Uint8Array },
  proof: ProvenSections,
): BuiltIndex<H> {
  const parts = [bytes, ...proof.parts];
  return { head, id, parts, length: parts.reduce((sum, part) => sum + part.length, 0) };
}
