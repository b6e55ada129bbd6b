import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Bitfield, silentLogger } from "@ckmesh/core";
import { HEAD_BYTES, SECTOR_ID_BYTES } from "@ckmesh/image";
import { HostFrameSource, HostIndex, openIndex, packImage, VersionFiles } from "@ckmesh/store";
import { VirtualClock } from "@ckmesh/testkit";

/** What a first install of a disk costs on a host that has a tree of files. */
export interface HostTrimCost {
  readonly hostFiles: number;
  /** Reading, hashing and noting the tree, s of CPU. */
  readonly scanCpuSec: number;
  /** Unique sectors of the version, and how many of them lie in files of the host. */
  readonly sectors: number;
  readonly hostSectors: number;
  /** Frames of the version, and how many of them were made out of files of the host. */
  readonly frames: number;
  readonly hostFrames: number;
  /** Finding and making those, s of CPU. */
  readonly takeCpuSec: number;
  readonly packBytes: number;
  /** Bytes of the frames that are left to fetch, and of the index, which is fetched whole. */
  readonly fetchedBytes: number;
  readonly indexBytes: number;
}

export interface HostTrimCase {
  /** Index of a version that was packed with `--trim`; its pack lies beside. */
  readonly indexPath: string;
  /** Tree of files. */
  readonly host: string;
  /** Empty, and of this case alone. */
  readonly folder: string;
}

/** Packs the disks of versions 1, 2 … into a folder, each after the one before. @returns their indexes */
export async function packForTrim(disks: readonly string[], folder: string): Promise<readonly string[]> {
  const indexes: string[] = [];
  for (const diskPath of disks) {
    const previous = indexes.at(-1);
    const options = { diskPath, name: "Bench", outDir: folder, trim: true };
    // oxlint-disable-next-line no-await-in-loop -- each needs the one before
    const made = await packImage({ ...options, ...(previous !== undefined && { previous }) });
    indexes.push(made.indexPath);
  }
  return indexes;
}

/** As a client does it: the whole index is there, the tree is looked through, then frames are taken from it. */
export async function hostTrimCost({ indexPath, host, folder }: HostTrimCase): Promise<HostTrimCost> {
  const index = new HostIndex(join(folder, "host"));
  try {
    const scan = await timed(() => index.scan({ folders: [host], excluded: [] }));
    const files = await openWithIndex(indexPath, join(folder, "images"));
    try {
      const { head } = files.signed;
      const ids = await (await openIndex(indexPath)).section("ids");
      if (ids === undefined) throw new Error(`${indexPath} was not packed with --trim`);
      const alone = new Uint8Array(ids.length / SECTOR_ID_BYTES).fill(1);
      const { fileOf } = await index.search({ ids, counts: alone });
      const missing = new Bitfield(files.table.layout.rows);
      for (const run of files.have.runs(false)) missing.addRun(run);
      const source = new HostFrameSource(files, index);
      let hostFrames = 0;
      const take = await timed(async () => {
        await source.copy(await source.find(missing), new AbortController().signal, (runs) => {
          for (const { count } of runs) hostFrames += count;
        });
      });
      return {
        hostFiles: scan.result.files,
        scanCpuSec: scan.cpuSec,
        sectors: head.counts.sectors,
        hostSectors: fileOf.reduce((sum, file) => sum + Number(file > 0), 0),
        frames: head.counts.frames,
        hostFrames,
        takeCpuSec: take.cpuSec,
        packBytes: head.pack.length,
        fetchedBytes: head.pack.length - files.bytes.host,
        indexBytes: readFileSync(indexPath).length,
      };
    } finally {
      await files.close();
    }
  } finally {
    await index.close();
  }
}

/** A version with its index and none of its frames. */
async function openWithIndex(indexPath: string, folder: string): Promise<VersionFiles> {
  mkdirSync(folder);
  const bytes = readFileSync(indexPath);
  const files = await VersionFiles.open({
    folder,
    headBlock: bytes.subarray(0, HEAD_BYTES),
    clock: new VirtualClock(),
    logger: silentLogger,
  });
  for (let row = 0; row < files.table.layout.pieceRows; row += 1) {
    const { offset, length } = files.table.locate({ first: row, count: 1 });
    // oxlint-disable-next-line no-await-in-loop -- the hashes come first
    await files.write({ first: row, count: 1 }, bytes.subarray(offset, offset + length), "origin");
  }
  return files;
}

async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly cpuSec: number }> {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, cpuSec: (user + system) / 1e6 };
}
