import { indexFileName, packFileName } from "@ckmesh/image";
import type { FolderPair } from "../publish/folder-scan.js";
import type { VerifiedPair } from "../publish/verify-pair.js";
import { type FileStamp, framesIndexFileName, type PublishedVersion, type ServedFile } from "./catalogue.js";

/** A foreign pack: our index of it lies in the state folder. */
export interface OpaqueParts {
  readonly index: FileStamp;
  /** SHA-256 of the foreign index that came with it, hexadecimal. */
  readonly foreignSha256: string | undefined;
}

/** Hexadecimal characters of an entity tag: 160 bits. */
const TAG_LENGTH = 40;

/** Pack or index: both may have the same hash. */
type FilePart = "p" | "i";

/** A file as it is served. */
export function servedFile(
  stamp: FileStamp,
  facts: {
    readonly fileName: string;
    /** Hexadecimal; commits to every byte of it. */
    readonly hash: string;
    readonly part: FilePart;
    /** Unix seconds. */
    readonly lastModified: number;
  },
): ServedFile {
  const { fileName, hash, part, lastModified } = facts;
  return { ...stamp, fileName, etag: `"${hash.slice(0, TAG_LENGTH)}-${part}"`, lastModified };
}

/** The published form of a verified pair. */
export function versionOf(
  pair: FolderPair,
  verified: VerifiedPair,
  publishedAt: number,
  opaque: OpaqueParts | undefined,
): PublishedVersion {
  const { name, version, pack } = pair;
  const ownIndex = opaque === undefined ? pair.index : opaque.index;
  if (pack === undefined || ownIndex === undefined) throw new Error("unreachable: half a pair was verified");
  // The date of the head is the same on every origin; one in the future must not be sent (RFC 9110 §8.8.2.1).
  const lastModified = Math.min(verified.createdAt, Math.floor(publishedAt / 1000));
  const serve = (stamp: FileStamp, fileName: string, hash: string, part: FilePart): ServedFile =>
    servedFile(stamp, { fileName, hash, part, lastModified });
  const indexName = indexFileName(name, version);
  const common = {
    name,
    version,
    id: verified.id,
    isOpaque: opaque !== undefined,
    isSigned: verified.isSigned,
    createdAt: verified.createdAt,
    publishedAt,
    // The head commits to the whole pack; the index also holds the signatures, which the id leaves out.
    pack: serve(pack, packFileName(name, version), verified.id, "p"),
  };
  if (opaque?.foreignSha256 === undefined || pair.index === undefined) {
    return { ...common, index: serve(ownIndex, indexName, verified.headSha256, "i") };
  }
  return {
    ...common,
    index: serve(pair.index, indexName, opaque.foreignSha256, "i"),
    framesIndex: serve(ownIndex, framesIndexFileName(name, version), verified.headSha256, "i"),
  };
}
