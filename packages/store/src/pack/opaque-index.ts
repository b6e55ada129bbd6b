import { createHash, type KeyObject, randomBytes } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { AppError, sha256, toHex } from "@ckmesh/core";
import {
  buildIndex,
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  HASH_BYTES,
  hasPackMagic,
  MAX_ROWS,
  parseImageName,
  SECTOR_BYTES,
  writeFrameRecord,
} from "@ckmesh/image";
import { fileError } from "../files/file-error.js";
import { TemporaryFile } from "../files/temporary-file.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";

const READ_FRAMES = 16;

export interface OpaqueOptions extends WorkOptions {
  /** A `.ckm` that is not ours. */
  readonly packPath: string;
  /** Where the index goes; what is there is replaced. */
  readonly indexPath: string;
  readonly name: string;
  readonly version: number;
  readonly signers?: readonly KeyObject[];
  /** Unix seconds; default: now. */
  readonly createdAt?: number;
  /** 32 bytes; default: random. */
  readonly secret?: Uint8Array;
}

/**
 * Indexes a foreign pack as stored 64-KiB frames from its first byte on, without map, pages and disk.
 * Returns the version id, hexadecimal.
 * @throws {AppError} ERR_PACK_INVALID when it is empty, too large, one of ours, or changes meanwhile;
 *   ERR_IMAGE_NAME_INVALID, ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_STORE_FULL, ERR_ABORTED
 */
export async function indexOpaquePack(options: OpaqueOptions): Promise<string> {
  const name = parseImageName(options.name);
  const pack = await hashOpaque(options);
  const frames = pack.records.length / FRAME_RECORD_BYTES;
  const built = buildIndex(
    {
      name,
      version: options.version,
      createdAt: options.createdAt ?? Math.floor(Date.now() / 1000),
      requires: [],
      codecs: [{ name: "store", level: 0, fingerprint: new Uint8Array(HASH_BYTES), firstFrame: 0 }],
      pack: { length: pack.length, sha256: pack.sha256 },
      counts: { frames, sectors: pack.sectors, kept: 0 },
      secret: options.secret ?? randomBytes(32),
    },
    new Map([["frames", pack.records]]),
    options.signers ?? [],
  );
  const index = await TemporaryFile.create(options.indexPath);
  try {
    let at = 0;
    for (const part of built.parts) {
      await index.write(part, at);
      at += part.length;
    }
    await index.sync();
    await index.commit();
  } finally {
    await index.discard();
  }
  return toHex(built.id);
}

interface OpaquePack {
  readonly length: number;
  readonly sha256: Uint8Array;
  /** The `frames` section. */
  readonly records: Uint8Array;
  readonly sectors: number;
}

async function hashOpaque(options: OpaqueOptions): Promise<OpaquePack> {
  const { packPath } = options;
  let file: FileHandle | undefined;
  try {
    file = await open(packPath, "r");
    const { size } = await file.stat();
    const frames = Math.ceil(size / FRAME_BYTES);
    if (frames === 0) throw new AppError("ERR_PACK_INVALID", `${packPath} is empty`);
    if (frames > MAX_ROWS / 2) throw new AppError("ERR_PACK_INVALID", `${packPath} is too large to index`);
    const records = new Uint8Array(frames * FRAME_RECORD_BYTES);
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafeSlow(READ_FRAMES * FRAME_BYTES);
    let sectors = 0;
    for (let at = 0; at < size; ) {
      throwIfStopped(options.signal);
      const bytes = buffer.subarray(0, Math.min(buffer.length, size - at));
      await readAll(file, bytes, at, packPath);
      if (at === 0 && hasPackMagic(bytes)) {
        throw new AppError("ERR_PACK_INVALID", `${packPath} is a ckmesh pack: publish it with its own index`);
      }
      hash.update(bytes);
      for (let i = 0; i < bytes.length; i += FRAME_BYTES) {
        const frame = bytes.subarray(i, i + FRAME_BYTES);
        const digest = sha256(frame);
        const count = Math.ceil(frame.length / SECTOR_BYTES);
        sectors += count;
        writeFrameRecord(records.subarray(((at + i) / FRAME_BYTES) * FRAME_RECORD_BYTES), {
          packedLength: frame.length,
          sectors: count,
          hash: digest,
          rawHash: digest,
        });
      }
      at += bytes.length;
      options.onProgress?.({ phase: "index", bytesDone: at, bytesTotal: size });
    }
    return { length: size, sha256: hash.digest(), records, sectors };
  } catch (err) {
    throw fileError(err, packPath);
  } finally {
    await file?.close();
  }
}

async function readAll(file: FileHandle, bytes: Uint8Array, position: number, path: string): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) throw new AppError("ERR_PACK_INVALID", `${path} became shorter while it was read`);
    done += bytesRead;
  }
}
