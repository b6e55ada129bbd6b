import { readFileSync } from "node:fs";
import { toHex } from "@ckmesh/core";
import {
  type ByteSource,
  carryOverPieces,
  DeltaFile,
  DeltaRefs,
  HEAD_BYTES,
  IndexFile,
  type SectionKind,
} from "@ckmesh/image";
import { fileBytes } from "./update-cost.js";

/** Bytes of an index, its head included, that the one of an older version does not determine. */
export async function missingIndexBytes(basePath: string, targetPath: string): Promise<number> {
  const old = await IndexFile.open(bytesOf(basePath));
  const next = await IndexFile.open(bytesOf(targetPath));
  const carried = carryOverPieces(
    {
      head: old.head,
      id: old.signed.id,
      hashes: old.hashes,
      sections: await sectionsOf(old, ["container", "frames", "map", "pages"]),
    },
    { head: next.head, hashes: next.hashes, sections: await sectionsOf(next, ["kept", "map"]) },
  );
  const all = next.head.sections.reduce((sum, { length }) => sum + length, HEAD_BYTES);
  return carried.reduce((left, { bytes }) => left - bytes.length, all);
}

/**
 * What a site that holds the older version has to get once: the delta pair, what is missing of the index, and the
 * new frames that are not in the delta. Paths of packs; their indexes lie beside them.
 */
export async function deltaSiteBytes(base: string, target: string, delta: string): Promise<number> {
  const [old, next] = await Promise.all(
    [base, target].map(async (pack) => await (await IndexFile.open(bytesOf(`${pack}.index`))).frames()),
  );
  if (old === undefined || next === undefined) throw new Error("unreachable: two indexes");
  const file = await DeltaFile.open(bytesOf(`${delta}.index`));
  const refs = new DeltaRefs(await file.section("refs"), file.head.counts.frames);
  const yielded = new Set(Array.from({ length: refs.count }, (_, k) => refs.targetFrame(k)));
  const held = new Set(Array.from({ length: old.count }, (_, frame) => toHex(old.hash(frame))));
  let plain = 0;
  for (let frame = 0; frame < next.count; frame++)
    if (!yielded.has(frame) && !held.has(toHex(next.hash(frame)))) plain += next.packedLength(frame);
  const index = await missingIndexBytes(`${base}.index`, `${target}.index`);
  return fileBytes(delta) + fileBytes(`${delta}.index`) + index + plain;
}

/** A file as a source of bytes. */
export function bytesOf(path: string): ByteSource {
  const bytes = readFileSync(path);
  return { length: bytes.length, read: (at, length) => Promise.resolve(bytes.subarray(at, at + length)) };
}

async function sectionsOf(
  index: IndexFile,
  kinds: readonly SectionKind[],
): Promise<ReadonlyMap<SectionKind, Uint8Array>> {
  return new Map(await Promise.all(kinds.map(async (kind) => [kind, await index.section(kind)] as const)));
}
