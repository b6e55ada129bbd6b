import { type KeyObject, randomBytes } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { AppError, MIB, toHex } from "@ckmesh/core";
import {
  type BuiltIndex,
  buildIndex,
  DiskExtents,
  type DiskFile,
  type DiskFormat,
  describeDiskFile,
  encodePackHeader,
  FRAME_RECORD_BYTES,
  type IndexHead,
  indexFileName,
  MAX_LEVEL,
  packFileName,
  parseImageName,
  SECTOR_BYTES,
  type SectionKind,
} from "@ckmesh/image";
import { fileError } from "../files/file-error.js";
import { fileSource } from "../files/file-io.js";
import { TemporaryFile } from "../files/temporary-file.js";
import { ImageWorkers } from "../image-workers.js";
import { refuseExisting } from "../pairs/refuse-existing.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { mergeCodecs, PreviousVersion } from "../versions/previous-version.js";
import { codecFingerprint } from "./codec.js";
import { withPlainDisk } from "./convert-disk.js";
import { FrameWriter } from "./frame-writer.js";
import { type PackedSectors, packSectors } from "./pack-sectors.js";

/** Disks above keep so much of 300 MB for the table of their sectors that two threads must do. */
const LARGE_DISK_BYTES = 20e9;
/** A thread more is worth its start from this much of a disk on. */
const BYTES_PER_THREAD = 16 * MIB;
const EXISTS_ADVICE = "a version never changes: choose another --version, or remove the old pair";

export interface PackOptions extends WorkOptions {
  /** Raw disk, fixed or dynamic VHD; VHDX, qcow2 and VMDK by way of `qemu-img`, packed as raw disks. */
  readonly diskPath: string;
  readonly name: string;
  /** An existing folder; the pair gets its names there. */
  readonly outDir: string;
  /** Default: one more than `previous`, else 1. */
  readonly version?: number;
  /** The version before: its index, or a folder with the newest one; its pack lies beside. */
  readonly previous?: string;
  /** 1 to 12, default 3. */
  readonly level?: number;
  /** Lets clients take sectors from files of their host (section `ids`); default: as `previous`, else false. */
  readonly trim?: boolean;
  /** Ed25519 private keys. */
  readonly signers?: readonly KeyObject[];
  /** Unix seconds; default: now. */
  readonly createdAt?: number;
  /** 32 bytes; default: random. Given, the output depends on the input alone. */
  readonly secret?: Uint8Array;
}

export interface PackResult {
  readonly name: string;
  readonly version: number;
  /** Version id, hexadecimal. */
  readonly id: string;
  readonly packPath: string;
  readonly indexPath: string;
  readonly disk: { readonly size: number; readonly format: DiskFormat };
  /** Bytes of disk in sectors that are not all zero, and how many of them are unique. */
  readonly usedBytes: number;
  readonly uniqueBytes: number;
  readonly packBytes: number;
  readonly indexBytes: number;
  readonly frames: number;
  readonly keptFrames: number;
  /** Bytes of the pack that the previous version does not have. */
  readonly newBytes: number;
  readonly previousVersion?: number;
}

/**
 * Packs a disk into `NAME_n.ckm` and `NAME_n.ckm.index`. Both get their names when both are complete and on
 * the disk, the pack first; whatever interrupts leaves neither.
 * @throws {AppError} ERR_USAGE, ERR_IMAGE_NAME_INVALID, ERR_IMAGE_EXISTS, ERR_DISK_INVALID,
 *   ERR_FORMAT_UNSUPPORTED, ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_PACK_INVALID (previous), ERR_STORE_FULL,
 *   ERR_ABORTED
 */
export async function packImage(options: PackOptions): Promise<PackResult> {
  const name = parseImageName(options.name);
  const level = options.level ?? 3;
  if (!Number.isInteger(level) || level < 1 || level > MAX_LEVEL) {
    throw new AppError("ERR_USAGE", `level ${level} is not from 1 to ${MAX_LEVEL}`);
  }
  const previous =
    options.previous === undefined ? undefined : await PreviousVersion.open(options.previous, name);
  try {
    const version = chooseVersion(options.version, previous);
    const packPath = join(options.outDir, packFileName(name, version));
    const indexPath = join(options.outDir, indexFileName(name, version));
    await refuseExisting(packPath, EXISTS_ADVICE);
    await refuseExisting(indexPath, EXISTS_ADVICE);
    return await withPlainDisk(options.diskPath, packPath, options, async (diskPath) => {
      const pack = await TemporaryFile.create(packPath);
      try {
        const index = await TemporaryFile.create(indexPath);
        try {
          return await packPair({ ...options, diskPath, name, version, level }, previous, pack, index);
        } finally {
          await index.discard();
        }
      } finally {
        await pack.discard();
      }
    });
  } finally {
    await previous?.close();
  }
}

interface Settings extends PackOptions {
  readonly version: number;
  readonly level: number;
}

async function packPair(
  settings: Settings,
  previous: PreviousVersion | undefined,
  pack: TemporaryFile,
  index: TemporaryFile,
): Promise<PackResult> {
  const disk = await describeDiskFile(await fileSource(settings.diskPath));
  const packed = await packDisk(settings, disk, previous, pack, index);
  const built = assemble(settings, disk, previous, packed);
  await pack.write(encodePackHeader(packed.length, built.id), 0);
  let at = 0;
  for (const part of built.parts) {
    await index.write(part, at);
    at += part.length;
  }
  throwIfStopped(settings.signal);
  await pack.sync();
  await index.sync();
  await pack.commit();
  await index.commit();
  const { frames, sectors, kept } = built.head.counts;
  return {
    name: settings.name,
    version: settings.version,
    id: toHex(built.id),
    packPath: pack.path,
    indexPath: index.path,
    disk: { size: disk.size, format: disk.format },
    usedBytes: packed.usedSectors * SECTOR_BYTES,
    uniqueBytes: sectors * SECTOR_BYTES,
    packBytes: packed.length,
    indexBytes: built.length,
    frames,
    keptFrames: kept,
    newBytes: packed.length - packed.keptBytes,
    ...(previous === undefined ? {} : { previousVersion: previous.index.head.version }),
  };
}

interface PackedDisk extends PackedSectors {
  /** Of the codec; found out while the threads start. */
  readonly fingerprint: Uint8Array;
}

/** Runs the threads over the disk file; everything but the index. */
async function packDisk(
  settings: Settings,
  disk: DiskFile,
  previous: PreviousVersion | undefined,
  pack: TemporaryFile,
  index: TemporaryFile,
): Promise<PackedDisk> {
  const file = await openDisk(settings.diskPath);
  try {
    const before = await file.stat({ bigint: true });
    const shape = { size: disk.size, gridOffset: disk.gridOffset };
    const { extents } = DiskExtents.decode(disk.container, disk.size);
    const workers = new ImageWorkers(
      { level: settings.level, disk: { fd: file.fd, shape, extents: extents.arrays } },
      settings.threads ?? (disk.size > LARGE_DISK_BYTES ? Math.min(2, availableParallelism()) : undefined),
    );
    try {
      workers.start(Math.ceil(disk.size / BYTES_PER_THREAD));
      const fingerprint = codecFingerprint(settings.level);
      const writer = new FrameWriter(workers, pack, index);
      const packed = await packSectors(workers, writer, shape, previous, {
        ...settings,
        trim: settings.trim ?? previous?.index.head.sections.some(({ kind }) => kind === "ids") ?? false,
      });
      const after = await file.stat({ bigint: true });
      if (before.mtimeNs !== after.mtimeNs || before.size !== after.size) throw changed(settings.diskPath);
      return { ...packed, fingerprint };
    } finally {
      await workers.close();
    }
  } finally {
    await file.close();
  }
}

function assemble(
  settings: Settings,
  disk: DiskFile,
  previous: PreviousVersion | undefined,
  packed: PackedDisk,
): BuiltIndex {
  const { name, version, level } = settings;
  const own = { name: "zstd", level, fingerprint: packed.fingerprint } as const;
  const frames = packed.frames.length / FRAME_RECORD_BYTES;
  const old = previous?.index;
  const head: Omit<IndexHead, "sections" | "hashesSha256"> = {
    name,
    version,
    ...(old === undefined ? {} : { previous: { version: old.head.version, id: old.signed.id } }),
    createdAt: settings.createdAt ?? Math.floor(Date.now() / 1000),
    requires: [],
    disk: { size: disk.size, format: disk.format, gridOffset: disk.gridOffset },
    codecs:
      old === undefined || packed.kept === undefined
        ? [{ ...own, firstFrame: 0 }]
        : mergeCodecs(old.head.codecs, packed.kept, own, frames),
    pack: { length: packed.length, sha256: packed.sha256 },
    counts: { frames, sectors: packed.sectors, kept: packed.kept?.count ?? 0 },
    secret: settings.secret ?? randomBytes(32),
  };
  const sections = new Map<Exclude<SectionKind, "hashes">, Uint8Array>([
    ["container", disk.container],
    ["frames", packed.frames],
    ["map", packed.map],
    ["pages", packed.pages],
  ]);
  if (packed.ids !== undefined) sections.set("ids", packed.ids);
  if (packed.kept !== undefined) sections.set("kept", packed.kept.toBytes());
  return buildIndex(head, sections, settings.signers ?? []);
}

function chooseVersion(wanted: number | undefined, previous: PreviousVersion | undefined): number {
  const before = previous?.index.head.version ?? 0;
  const version = wanted ?? before + 1;
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new AppError("ERR_USAGE", `version ${version} is no whole number from 1`);
  }
  if (version <= before) {
    throw new AppError(
      "ERR_USAGE",
      `version ${version} does not follow version ${before}, which --previous names`,
    );
  }
  return version;
}

async function openDisk(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (err) {
    throw fileError(err, path);
  }
}

function changed(path: string): AppError {
  return new AppError(
    "ERR_DISK_INVALID",
    `${path} changed while it was packed; stop what writes to it, or pack a snapshot`,
  );
}
