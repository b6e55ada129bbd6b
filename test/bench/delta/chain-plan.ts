import { Bitfield, toHex } from "@ckmesh/core";
import {
  carryOverPieces,
  type DeltaFile,
  type FrameTable,
  HEAD_BYTES,
  type IndexFile,
  referredFrames,
} from "@ckmesh/image";

/** What a client fetches, and takes on its disk, that goes over several deltas (docs/design/0014). */
export interface ChainPlan {
  /** Frames of the deltas that are used, and the deltas' indexes. */
  readonly deltas: number;
  /** Frames that no delta yields. */
  readonly plain: number;
  /** Heads of the versions between, and what is needed of the rest of their indexes. */
  readonly index: number;
  /** Packed frames of the versions between that are brought here, most of them from the older version. */
  readonly steps: number;
}

/**
 * @param versions the one that is held, those between, and the one that is wanted
 * @param deltas from each to the next
 */
export async function planChain(
  versions: readonly IndexFile[],
  deltas: readonly DeltaFile[],
): Promise<ChainPlan> {
  const tables = await Promise.all(versions.map((index) => index.frames()));
  const [held, target] = [tables[0], tables.at(-1)];
  if (held === undefined || target === undefined) throw new Error("no versions");
  const own = numbers(held);
  let needed = select(target, (frame) => !own.has(toHex(target.hash(frame))));
  const plan = { deltas: 0, plain: 0, index: 0, steps: 0 };
  for (let i = deltas.length - 1; i >= 0; i -= 1) {
    const [delta, from, to, index] = [deltas[i], tables[i], tables[i + 1], versions[i]];
    if (delta === undefined || from === undefined || to === undefined || index === undefined) continue;
    const [refs, frames] = [await delta.refs(), await delta.frames()]; // oxlint-disable-line no-await-in-loop
    const left = needed.clone();
    const isUsed = (k: number): boolean => needed.has(refs.targetFrame(k));
    plan.deltas += delta.head.sections.reduce((sum, { length }) => sum + length, HEAD_BYTES);
    for (let k = 0; k < refs.count; k += 1) {
      if (!isUsed(k)) continue;
      left.delete(refs.targetFrame(k));
      plan.deltas += frames.packedLength(k);
    }
    const before = numbers(from);
    const wanted = referredFrames(refs, from, isUsed);
    for (const frame of members(left)) {
      const equal = before.get(toHex(to.hash(frame)));
      if (equal === undefined) plan.plain += to.packedLength(frame);
      else wanted.add(equal);
    }
    if (i === 0) break;
    for (const frame of members(wanted)) plan.steps += from.packedLength(frame);
    needed = select(from, (frame) => wanted.has(frame) && !own.has(toHex(from.hash(frame))));
    plan.index += await stepIndex(versions[0], index); // oxlint-disable-line no-await-in-loop
  }
  return plan;
}

/** Head, hashes, `kept`, and what of the frame table the held version does not determine. */
async function stepIndex(held: IndexFile | undefined, index: IndexFile): Promise<number> {
  if (held === undefined) return 0;
  const bytes = index.head.sections
    .filter(({ kind }) => kind === "hashes" || kind === "kept" || kind === "frames")
    .reduce((sum, { length }) => sum + length, HEAD_BYTES);
  const carried = carryOverPieces(
    {
      head: held.head,
      id: held.signed.id,
      hashes: held.hashes,
      sections: new Map([["frames", await held.section("frames")]]),
    },
    { head: index.head, hashes: index.hashes, sections: new Map([["kept", await index.section("kept")]]) },
  );
  return carried.reduce((left, piece) => left - piece.bytes.length, bytes);
}

function numbers(table: FrameTable): ReadonlyMap<string, number> {
  return new Map(Array.from({ length: table.count }, (_, frame) => [toHex(table.hash(frame)), frame]));
}

function select(table: FrameTable, isMeant: (frame: number) => boolean): Bitfield {
  const frames = new Bitfield(table.count);
  for (let frame = 0; frame < table.count; frame += 1) if (isMeant(frame)) frames.add(frame);
  return frames;
}

function* members(frames: Bitfield): Generator<number> {
  for (const { first, count } of frames.runs()) for (let i = 0; i < count; i += 1) yield first + i;
}
