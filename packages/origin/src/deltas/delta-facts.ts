import { AppError, sha256, toHex } from "@ckmesh/core";
import { checkTrust, decodeDeltaHead, HEAD_BYTES } from "@ckmesh/image";
import type { PublishedVersion } from "../catalogue/catalogue.js";
import type { FolderDelta } from "../publish/folder-scan.js";
import { OpenedFile } from "../publish/opened-file.js";

/** What the head of a delta says. */
export interface DeltaFacts {
  /** Id of the delta, hexadecimal. */
  readonly id: string;
  /** SHA-256 of the first 4 KiB of the index, hexadecimal: signatures included, unlike the id. */
  readonly headSha256: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** The published versions at the ends of a delta. */
export interface DeltaEnds {
  readonly base: PublishedVersion;
  readonly target: PublishedVersion;
}

/**
 * Reads the head of a delta in the folder and requires that it is signed well enough, and is what its file names
 * say, between these versions.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID
 */
export function readDeltaFacts(
  { name, version, from, index }: FolderDelta,
  { base, target }: DeltaEnds,
  publishers: readonly Uint8Array[],
): DeltaFacts {
  const file = OpenedFile.open(index?.path ?? "");
  let bytes: Buffer;
  try {
    bytes = Buffer.alloc(Math.min(HEAD_BYTES, file.length));
    file.readInto(bytes, 0);
  } finally {
    file.close();
  }
  const signed = decodeDeltaHead(bytes);
  const { head } = signed;
  if (head.name !== name || head.version !== version || head.base.version !== from) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the files are named ${name}_${version}.from_${from}, but the index is of a delta of ${head.name} from version ${head.base.version} to ${head.version}`,
    );
  }
  for (const [end, named] of [
    [base, head.base],
    [target, head.target],
  ] as const) {
    if (end.id === toHex(named.id)) continue;
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the delta belongs to another version ${named.version} of ${name} than the published one; make it again with ckmesh delta`,
    );
  }
  checkTrust(signed, { publishers, signature: "whenConfigured" });
  return { id: signed.idHex, headSha256: toHex(sha256(bytes)), createdAt: head.createdAt };
}
