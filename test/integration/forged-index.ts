import { readFile, writeFile } from "node:fs/promises";
import { sha256 } from "@ckmesh/core";
import {
  buildDeltaIndex,
  buildIndex,
  DeltaRefs,
  DeltaRefsWriter,
  decodeDeltaHead,
  decodeHead,
  encodePackHeader,
  FRAME_RECORD_BYTES,
  HEAD_BYTES,
  type HeadCommon,
  PACK_HEADER_BYTES,
  type SectionKind,
} from "@ckmesh/image";

/** Bytes of a frame's record before its hash: packed length u24, sector count u8 (docs/image-format.md). */
const LENGTH_BYTES = 3;
const HASH_AT = 4;
const HASH_BYTES = 32;

/** Rewrites a delta: every hash in it is right, and its first two frames have changed places. */
export async function swapFrames(packPath: string): Promise<void> {
  const { pack, index, head } = await readPair(packPath, decodeDeltaHead);
  const frames = Buffer.from(section(index, head, "frames"));
  const [first, second] = [0, 1].map((k) =>
    Buffer.from(frames.subarray(k * FRAME_RECORD_BYTES, (k + 1) * FRAME_RECORD_BYTES)),
  );
  if (first === undefined || second === undefined) throw new Error("no two frames");
  second.copy(frames, 0, 0, LENGTH_BYTES);
  second.copy(frames, HASH_AT, HASH_AT, HASH_AT + HASH_BYTES);
  first.copy(frames, FRAME_RECORD_BYTES, 0, LENGTH_BYTES);
  first.copy(frames, FRAME_RECORD_BYTES + HASH_AT, HASH_AT, HASH_AT + HASH_BYTES);
  const border = first.readUIntLE(0, LENGTH_BYTES);
  const end = border + second.readUIntLE(0, LENGTH_BYTES);
  const body = pack.subarray(PACK_HEADER_BYTES);
  const swapped = Buffer.concat([body.subarray(border, end), body.subarray(0, border), body.subarray(end)]);
  const sound = { ...head, pack: { ...head.pack, sha256: sha256(swapped) } };
  const refs = section(index, head, "refs");
  await writePair(packPath, swapped, buildDeltaIndex(sound, { frames, refs }, []));
}

/** Rewrites a delta: its frames name sectors that its base does not have. */
export async function nameImpossibleSectors(packPath: string): Promise<void> {
  const { pack, index, head } = await readPair(packPath, decodeDeltaHead);
  const old = new DeltaRefs(section(index, head, "refs"), head.counts.frames);
  const refs = new DeltaRefsWriter();
  for (let k = 0; k < old.count; k++) refs.add(old.targetFrame(k), [{ first: 1_000_000 + k, count: 1 }]);
  const parts = { frames: section(index, head, "frames"), refs: refs.finish() };
  await writePair(packPath, pack.subarray(PACK_HEADER_BYTES), buildDeltaIndex(head, parts, []));
}

/** Rewrites a version as if a machine with another codec had packed it. */
export async function packElsewhere(packPath: string): Promise<void> {
  const { pack, index, head } = await readPair(packPath, decodeHead);
  const codecs = head.codecs.map((codec) => ({ ...codec, fingerprint: sha256(codec.fingerprint) }));
  const sections = new Map<Exclude<SectionKind, "hashes">, Uint8Array>();
  for (const { kind } of head.sections) if (kind !== "hashes") sections.set(kind, section(index, head, kind));
  const built = buildIndex({ ...head, codecs }, sections, []);
  await writePair(packPath, pack.subarray(PACK_HEADER_BYTES), built);
}

async function readPair<H>(packPath: string, decode: (block: Uint8Array) => { readonly head: H }) {
  const [pack, index] = await Promise.all([readFile(packPath), readFile(`${packPath}.index`)]);
  return { pack, index, head: decode(index.subarray(0, HEAD_BYTES)).head };
}

function section(index: Buffer, head: HeadCommon, wanted: SectionKind): Uint8Array {
  const found = head.sections.find(({ kind }) => kind === wanted);
  if (found === undefined) throw new Error(`no section ${wanted}`);
  return index.subarray(found.offset, found.offset + found.length);
}

async function writePair(
  packPath: string,
  body: Uint8Array,
  index: { readonly id: Uint8Array; readonly parts: readonly Uint8Array[] },
): Promise<void> {
  const header = encodePackHeader(PACK_HEADER_BYTES + body.length, index.id);
  await writeFile(packPath, Buffer.concat([header, body]));
  await writeFile(`${packPath}.index`, Buffer.concat(index.parts));
}
