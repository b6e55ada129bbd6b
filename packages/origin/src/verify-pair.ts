import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { AppError, equalBytes, sha256, toHex } from "@ckmesh/core";
import {
  type ByteSource,
  checkPackHeader,
  checkTrust,
  checkZstdFrame,
  containerSegments,
  decodeHead,
  decodeKept,
  type FrameTable,
  HEAD_BYTES,
  IndexFile,
  PACK_HEADER_BYTES,
  type SignedHead,
} from "@ckmesh/image";

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
}

const READ_BYTES = 1024 * 1024;

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

function verifyHead(indexFile: OpenedFile, pair: PairToVerify): VerifiedPair {
  const headBytes = Buffer.alloc(Math.min(HEAD_BYTES, indexFile.length));
  indexFile.readInto(headBytes, 0);
  const signed = decodeHead(headBytes);
  const { head } = signed;
  if (head.name !== pair.name || head.version !== pair.version) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the files are named ${pair.name}_${pair.version}, but the index is of ${head.name} version ${head.version}; a version cannot be renamed: pack it under that name`,
    );
  }
  checkTrust(signed, { publishers: pair.publishers, signature: "whenConfigured" });
  return { id: signed.idHex, headSha256: toHex(sha256(headBytes)), createdAt: head.createdAt };
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
  const { head } = signed;
  if (file.length !== head.pack.length) {
    throw new AppError("ERR_PACK_INVALID", `the pack has ${file.length} of ${head.pack.length} bytes`);
  }
  if (head.disk !== undefined) {
    const header = Buffer.alloc(PACK_HEADER_BYTES);
    file.readInto(header, 0);
    checkPackHeader(header, signed);
  }
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const whole = createHash("sha256");
  for (let first = 0; first < frames.count; ) {
    const start = frames.offset(first);
    let end = first + 1;
    while (end < frames.count && frames.offset(end + 1) - start <= READ_BYTES) end += 1;
    const bytes = buffer.subarray(0, frames.offset(end) - start);
    file.readInto(bytes, start);
    whole.update(bytes);
    for (let i = first; i < end; i += 1) {
      verifyFrame(bytes.subarray(frames.offset(i) - start, frames.offset(i + 1) - start), frames, i);
    }
    first = end;
  }
  if (!equalBytes(whole.digest(), head.pack.sha256)) {
    throw new AppError("ERR_PACK_INVALID", "the pack does not have the hash that its index states");
  }
}

function verifyFrame(packed: Uint8Array, frames: FrameTable, i: number): void {
  if (!equalBytes(sha256(packed), frames.hash(i))) {
    throw new AppError("ERR_PACK_INVALID", `frame ${i} of the pack is damaged, at byte ${frames.offset(i)}`);
  }
  if (frames.codecName(i) === "zstd") checkZstdFrame(packed, frames.rawLength(i));
}

/** A file read synchronously, as its size was when it was opened. */
class OpenedFile implements ByteSource {
  readonly length: number;
  readonly #fd: number;
  readonly #path: string;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
    this.length = fstatSync(fd).size;
  }

  static open(path: string): OpenedFile {
    return new OpenedFile(openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)), path);
  }

  // oxlint-disable-next-line typescript/require-await -- the interface is for sources that wait
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length);
    this.readInto(bytes, offset);
    return bytes;
  }

  readInto(bytes: Uint8Array, offset: number): void {
    for (let done = 0; done < bytes.byteLength; ) {
      const count = readSync(this.#fd, bytes, done, bytes.byteLength - done, offset + done);
      if (count === 0)
        throw new AppError("ERR_PACK_INVALID", `${this.#path} became shorter while it was read`);
      done += count;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
