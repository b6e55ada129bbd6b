import { AppError, sha256, toHex } from "@ckmesh/core";
import {
  checkTrust,
  containerSegments,
  decodeHead,
  decodeKept,
  type FrameTable,
  HEAD_BYTES,
  IndexFile,
  type SignedHead,
} from "@ckmesh/image";
import { OpenedFile } from "./opened-file.js";
import { PackCheck, requireLength } from "./pack-check.js";

export interface PairToVerify {
  /** From the file names. */
  readonly name: string;
  readonly version: number;
  readonly packPath: string;
  readonly indexPath: string;
  /** Ed25519 public keys; with any, one of them must have signed. */
  readonly publishers: readonly Uint8Array[];
}

/** What the catalogue needs to know of a checked pair. */
export interface VerifiedPair {
  /** Version id, hexadecimal. */
  readonly id: string;
  /** SHA-256 of the first 4 KiB of the index, hexadecimal: signatures included, unlike the id. */
  readonly headSha256: string;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Somebody has signed it. */
  readonly isSigned: boolean;
}

/**
 * Reads a pair whole and checks that it may be published: head, signature, names, every piece of the index
 * and what each section says, every frame (hash, and that it can be decoded without danger), the hash of
 * the pack, and that nothing is left over. Blocks while it reads: runs in a worker thread.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID
 */
export async function verifyPair(pair: PairToVerify): Promise<VerifiedPair> {
  const indexFile = OpenedFile.open(pair.indexPath);
  try {
    const verified = verifyHead(indexFile, pair);
    const index = await IndexFile.open(indexFile);
    const frames = await verifySections(index);
    const packFile = OpenedFile.open(pair.packPath);
    try {
      verifyPack(packFile, frames, index.signed);
    } finally {
      packFile.close();
    }
    return verified;
  } finally {
    indexFile.close();
  }
}

/**
 * Reads only the head: enough for a pair whose files are unchanged since they were verified.
 * @throws {AppError} as `verifyPair`
 */
export function verifyHeadOnly(pair: PairToVerify): VerifiedPair {
  const indexFile = OpenedFile.open(pair.indexPath);
  try {
    return verifyHead(indexFile, pair);
  } finally {
    indexFile.close();
  }
}

/** An index whose head and every section were checked. */
export interface VerifiedIndex extends VerifiedPair {
  readonly name: string;
  readonly version: number;
  readonly packBytes: number;
  /** Of a pack that is not ours. */
  readonly isOpaque: boolean;
}

/**
 * Reads an index whole and checks all that can be judged without its pack. Blocks while it reads.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID
 */
export async function verifyIndex(path: string, publishers: readonly Uint8Array[]): Promise<VerifiedIndex> {
  const file = OpenedFile.open(path);
  try {
    const { signed, headSha256 } = readHead(file);
    checkTrust(signed, { publishers, signature: "whenConfigured" });
    await verifySections(await IndexFile.open(file));
    const { name, version, pack, disk } = signed.head;
    const facts = verifiedFacts(signed, headSha256);
    return { ...facts, name, version, packBytes: pack.length, isOpaque: disk === undefined };
  } finally {
    file.close();
  }
}

function readHead(indexFile: OpenedFile): { readonly signed: SignedHead; readonly headSha256: string } {
  const headBytes = Buffer.alloc(Math.min(HEAD_BYTES, indexFile.length));
  indexFile.readInto(headBytes, 0);
  return { signed: decodeHead(headBytes), headSha256: toHex(sha256(headBytes)) };
}

function verifyHead(indexFile: OpenedFile, pair: PairToVerify): VerifiedPair {
  const { signed, headSha256 } = readHead(indexFile);
  const { head } = signed;
  if (head.name !== pair.name || head.version !== pair.version) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the files are named ${pair.name}_${pair.version}, but the index is of ${head.name} version ${head.version}; a version cannot be renamed: pack it under that name`,
    );
  }
  checkTrust(signed, { publishers: pair.publishers, signature: "whenConfigured" });
  return verifiedFacts(signed, headSha256);
}

function verifiedFacts({ idHex, head, signatures }: SignedHead, headSha256: string): VerifiedPair {
  return { id: idHex, headSha256, createdAt: head.createdAt, isSigned: signatures.length > 0 };
}

/** Every section by its hashes, and what it says as far as it can be judged alone. */
async function verifySections(index: IndexFile): Promise<FrameTable> {
  const { disk, previous } = index.head;
  const kept = await index.section("kept");
  if (previous !== undefined) decodeKept(kept, index.head, kept.length * 8);
  const container = await index.section("container");
  if (disk !== undefined) for (const _ of containerSegments(container, disk.size)); // Throws at what does not add up.
  for (const kind of ["pages", "ids", "refs"] as const) await index.section(kind); // oxlint-disable-line no-await-in-loop -- one in memory at a time
  const map = await index.map();
  while (map.next());
  return await index.frames();
}

function verifyPack(file: OpenedFile, frames: FrameTable, signed: SignedHead): void {
  requireLength(file.length, signed.head.pack.length);
  const check = new PackCheck(file, frames, signed);
  while (check.step(file.length));
  check.finish(file.length);
}
