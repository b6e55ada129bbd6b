import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { AppError, equalBytes, sha256, toHex } from "@ckmesh/core";
import {
  checkTrust,
  decodeHead,
  FrameTable,
  HEAD_BYTES,
  PACK_HEADER_BYTES,
  PieceHashes,
  RowLayout,
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
  readonly id: string;
  /** SHA-256 of the first 4 KiB of the index, hexadecimal: signatures included, unlike the id. */
  readonly headSha256: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

const READ_BYTES = 1024 * 1024;
const MAGIC = Buffer.from("CKMP", "latin1");
const FORMAT = 1;

/**
 * Reads a pair whole and checks that it may be published: head, signature, names, every piece of the index,
 * every frame, the hash of the pack, and that nothing is left over. Blocks: runs in a worker thread.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID
 */
export function verifyPair(pair: PairToVerify): VerifiedPair {
  return withFile(pair.indexPath, (indexFd, indexSize) =>
    withFile(pair.packPath, (packFd, packSize) => {
      const headBytes = readExactly(indexFd, 0, HEAD_BYTES, indexSize, "ERR_INDEX_INVALID");
      const signed = decodeHead(headBytes);
      checkNames(signed, pair);
      checkTrust(signed, { publishers: pair.publishers, signature: "whenConfigured" });
      const frames = verifyIndex(indexFd, indexSize, signed);
      if (packSize !== signed.head.pack.length) {
        throw new AppError(
          "ERR_PACK_INVALID",
          `the pack has ${packSize} of ${signed.head.pack.length} bytes`,
        );
      }
      verifyHeader(packFd, signed, packSize);
      verifyFrames(packFd, frames, signed);
      return { id: signed.idHex, headSha256: toHex(sha256(headBytes)), createdAt: signed.head.createdAt };
    }),
  );
}

/**
 * Reads only the head: enough for a pair whose files are unchanged since they were verified.
 * @throws {AppError} as `verifyPair`
 */
export function verifyHeadOnly(pair: PairToVerify): VerifiedPair {
  return withFile(pair.indexPath, (fd, size) => {
    const headBytes = readExactly(fd, 0, HEAD_BYTES, size, "ERR_INDEX_INVALID");
    const signed = decodeHead(headBytes);
    checkNames(signed, pair);
    checkTrust(signed, { publishers: pair.publishers, signature: "whenConfigured" });
    return { id: signed.idHex, headSha256: toHex(sha256(headBytes)), createdAt: signed.head.createdAt };
  });
}

function checkNames({ head }: SignedHead, pair: PairToVerify): void {
  if (head.name === pair.name && head.version === pair.version) return;
  throw new AppError(
    "ERR_INDEX_INVALID",
    `the files are named ${pair.name}_${pair.version}, but the index is of ${head.name} version ${head.version}; a version cannot be renamed: pack it under that name`,
  );
}

/** Checks every piece and returns the frame table. */
function verifyIndex(fd: number, size: number, signed: SignedHead): FrameTable {
  const { head } = signed;
  const end = head.sections.reduce(
    (most, section) => Math.max(most, section.offset + section.length),
    HEAD_BYTES,
  );
  if (size !== end) throw new AppError("ERR_INDEX_INVALID", `the index has ${size} of ${end} bytes`);
  const hashesSection = head.sections.find((section) => section.kind === "hashes");
  const framesSection = head.sections.find((section) => section.kind === "frames");
  if (hashesSection === undefined || framesSection === undefined) {
    throw new AppError("ERR_INDEX_INVALID", "the index has no hashes or no frames");
  }
  const section = (at: { readonly offset: number; readonly length: number }): Uint8Array =>
    readExactly(fd, at.offset, at.length, size, "ERR_INDEX_INVALID");
  const hashes = new PieceHashes(section(hashesSection), head);
  const layout = new RowLayout(head);
  for (let row = 0; row < layout.pieceRows; row += 1) {
    const piece = layout.piece(row);
    if (!hashes.matches(row, section(piece))) {
      throw new AppError(
        "ERR_INDEX_INVALID",
        `section ${piece.kind} of the index is damaged at byte ${piece.offset}`,
      );
    }
  }
  return FrameTable.decode(section(framesSection), head);
}

function verifyHeader(fd: number, signed: SignedHead, size: number): void {
  const header = Buffer.alloc(PACK_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16LE(FORMAT, 4);
  header.writeBigUInt64LE(BigInt(signed.head.pack.length), 8);
  header.set(signed.id, 16);
  if (!equalBytes(readExactly(fd, 0, PACK_HEADER_BYTES, size, "ERR_PACK_INVALID"), header)) {
    throw new AppError(
      "ERR_PACK_INVALID",
      "the pack belongs to another index: its header names another version id",
    );
  }
}

function verifyFrames(fd: number, frames: FrameTable, signed: SignedHead): void {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const whole = createHash("sha256");
  for (let first = 0; first < frames.count; ) {
    const start = frames.offset(first);
    let end = first + 1;
    while (end < frames.count && frames.offset(end + 1) - start <= READ_BYTES) end += 1;
    const bytes = buffer.subarray(0, frames.offset(end) - start);
    readFully(fd, bytes, start, "ERR_PACK_INVALID");
    whole.update(bytes);
    for (let i = first; i < end; i += 1) {
      const frame = bytes.subarray(frames.offset(i) - start, frames.offset(i + 1) - start);
      if (!equalBytes(sha256(frame), frames.hash(i))) {
        throw new AppError(
          "ERR_PACK_INVALID",
          `frame ${i} of the pack is damaged, at byte ${frames.offset(i)}`,
        );
      }
    }
    first = end;
  }
  if (!equalBytes(whole.digest(), signed.head.pack.sha256)) {
    throw new AppError("ERR_PACK_INVALID", "the pack does not have the hash that its index states");
  }
}

function withFile<T>(path: string, run: (fd: number, size: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  try {
    return run(fd, fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

/** @throws {AppError} `code` when the file does not hold the bytes; checked before anything is allocated */
function readExactly(
  fd: number,
  offset: number,
  length: number,
  size: number,
  code: "ERR_INDEX_INVALID" | "ERR_PACK_INVALID",
): Uint8Array {
  if (offset + length > size)
    throw new AppError(code, `the file has ${size} bytes and needs ${offset + length}`);
  const bytes = Buffer.allocUnsafeSlow(length);
  readFully(fd, bytes, offset, code);
  return bytes;
}

function readFully(
  fd: number,
  bytes: Uint8Array,
  offset: number,
  code: "ERR_INDEX_INVALID" | "ERR_PACK_INVALID",
): void {
  for (let done = 0; done < bytes.byteLength; ) {
    const count = readSync(fd, bytes, done, bytes.byteLength - done, offset + done);
    if (count === 0) throw new AppError(code, "the file became shorter while it was read");
    done += count;
  }
}
