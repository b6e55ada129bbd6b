import { type IndexHead, MAX_LEVEL } from "@ckmesh/image";
import { codecFingerprint } from "./codec.js";

/** A codec of a version as this machine can use it. */
export interface UsableCodec {
  readonly firstFrame: number;
  /** Level to pack with; absent: the frames cannot be made again here. */
  readonly level?: number;
}

/** What this machine's codec makes, by level: of each it is found out once. */
const FINGERPRINTS = new Map<number, Uint8Array>();

/** The codecs of a version, with the level where this machine makes the same frames. */
export function usableCodecs({ codecs }: Pick<IndexHead, "codecs">): readonly UsableCodec[] {
  return codecs.map(({ name, level, fingerprint, firstFrame }) => {
    const isKnown = name === "zstd" && level >= 1 && level <= MAX_LEVEL;
    return isKnown && Buffer.compare(ownFingerprint(level), fingerprint) === 0
      ? { firstFrame, level }
      : { firstFrame };
  });
}

/** This machine can pack frames of the version as its publisher did: with no other can a delta complete the pack. */
export function canPackFor(head: Pick<IndexHead, "codecs">): boolean {
  return usableCodecs(head).some(({ level }) => level !== undefined);
}

/** The same of the frames that are new in the version. */
export function canPackNew(head: Pick<IndexHead, "codecs">): boolean {
  return levelOf(usableCodecs(head), Number.POSITIVE_INFINITY) !== undefined;
}

/** The level that makes a frame of the version; undefined: none here does. */
export function levelOf(codecs: readonly UsableCodec[], frame: number): number | undefined {
  return codecs.findLast(({ firstFrame }) => firstFrame <= frame)?.level;
}

function ownFingerprint(level: number): Uint8Array {
  const known = FINGERPRINTS.get(level) ?? codecFingerprint(level);
  FINGERPRINTS.set(level, known);
  return known;
}
