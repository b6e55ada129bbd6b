import { indexFileName, packFileName } from "@ckmesh/image";
import type { FileStamp, PublishedVersion, ServedFile } from "./catalogue.js";
import type { FolderPair } from "./folder-scan.js";
import type { VerifiedPair } from "./verify-pair.js";

/** Hexadecimal characters of an entity tag: 160 bits. */
const TAG_LENGTH = 40;

/** The published form of a verified pair. */
export function versionOf(pair: FolderPair, verified: VerifiedPair, publishedAt: number): PublishedVersion {
  const { name, version, pack, index } = pair;
  if (pack === undefined || index === undefined) throw new Error("unreachable: half a pair was verified");
  // The date of the head is the same on every origin; one in the future must not be sent (RFC 9110 §8.8.2.1).
  const lastModified = Math.min(verified.createdAt, Math.floor(publishedAt / 1000));
  const serve = (stamp: FileStamp, fileName: string, tag: string): ServedFile => ({
    ...stamp,
    fileName,
    etag: `"${tag}"`,
    lastModified,
  });
  return {
    name,
    version,
    id: verified.id,
    isOpaque: false,
    createdAt: verified.createdAt,
    publishedAt,
    // The head commits to the whole pack; the index also holds the signatures, which the id leaves out.
    pack: serve(pack, packFileName(name, version), `${verified.id.slice(0, TAG_LENGTH)}-p`),
    index: serve(index, indexFileName(name, version), `${verified.headSha256.slice(0, TAG_LENGTH)}-i`),
  };
}
