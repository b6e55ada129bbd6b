import type { KeyObject } from "node:crypto";
import { sha256 } from "@ckmesh/core";
import { HASH_BYTES } from "./constants.js";
import { encodeHead } from "./head-codec.js";
import { type IndexHead, SECTION_KINDS, type SectionKind } from "./index-head.js";
import { RowLayout } from "./row-layout.js";
import { layOutSections } from "./section-layout.js";

export interface BuiltIndex {
  readonly head: IndexHead;
  /** Version id. */
  readonly id: Uint8Array;
  /** The index is these one after the other. */
  readonly parts: readonly Uint8Array[];
  readonly length: number;
}

/** Puts an index together: hashes all pieces, completes the head, signs it. */
export function buildIndex(
  head: Omit<IndexHead, "sections" | "hashesSha256">,
  sections: ReadonlyMap<Exclude<SectionKind, "hashes">, Uint8Array>,
  signers: readonly KeyObject[],
): BuiltIndex {
  const layout = layOutSections(new Map([...sections].map(([kind, bytes]) => [kind, bytes.length])));
  const byKind = new Map<SectionKind, Uint8Array>(sections);
  const draft: IndexHead = { ...head, sections: layout, hashesSha256: new Uint8Array(HASH_BYTES) };
  const rows = new RowLayout(draft);
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
  const complete: IndexHead = { ...draft, hashesSha256: sha256(hashes) };
  const { bytes, id } = encodeHead(complete, signers);
  const parts = [bytes, ...SECTION_KINDS.flatMap((kind) => byKind.get(kind) ?? [])];
  return { head: complete, id, parts, length: parts.reduce((sum, part) => sum + part.length, 0) };
}
