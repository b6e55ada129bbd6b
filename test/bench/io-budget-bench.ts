import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { seededRandom, silentLogger, toHex } from "@ckmesh/core";
import { HEAD_BYTES } from "@ckmesh/image";
import { systemClock } from "@ckmesh/runtime";
import {
  openIndex,
  packImage,
  restorePack,
  shedPack,
  unpackImage,
  VersionFiles,
  versionPaths,
} from "@ckmesh/store";

/*
 * What an update of a client reads and writes on its disk, by /proc/self/io (Linux). Needs `pnpm build`.
 *   npx tsx --conditions=ckmesh-src test/bench/io-budget-bench.ts FOLDER [MIB]
 * FOLDER lies on the file system to be measured; on one that clones files the two rows of the disk differ. Bytes
 * written are those that went to the storage layer (`write_bytes`), bytes read those of calls (`rchar`), also from the
 * cache.
 *   npx tsx --conditions=ckmesh-src test/bench/io-budget-bench.ts --pair OLD_INDEX NEW_INDEX
 * tells of a real pair how much of the new pack lies where it lay in the old one, and what was dropped.
 */
const MIB = 2 ** 20;
const SECTOR_BYTES = 4096;
/** One sector in so many differs between the versions, as scattered writes of a system do. */
const CHANGED_EVERY = 200;
/** And everything in one stretch of so many parts of the disk, as when a program is replaced: its frames go. */
const REPLACED_PART = 100;

interface Counters {
  readonly write: number;
  readonly read: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function counters(): Counters {
  const text = readFileSync("/proc/self/io", "utf8");
  const of = (key: string): number => Number(new RegExp(`^${key}: (\\d+)`, "m").exec(text)?.[1]);
  return { write: of("write_bytes"), read: of("rchar") };
}

async function measured(step: string, work: () => Promise<string>): Promise<void> {
  const before = counters();
  const note = await work();
  const after = counters();
  print(`| ${step} | ${mb(after.write - before.write)} | ${mb(after.read - before.read)} | ${note} |`);
}

async function openVersion(folder: string, indexPath: string): Promise<VersionFiles> {
  const headBlock = (await readFile(indexPath)).subarray(0, HEAD_BYTES);
  return await VersionFiles.open({ folder, headBlock, clock: systemClock, logger: silentLogger });
}

/** Half noise, so that it packs to about half. */
function makeDisk(mib: number): { readonly first: Buffer; readonly second: Buffer } {
  const first = Buffer.alloc(mib * MIB);
  const random = seededRandom(1);
  for (let at = 0; at < first.length; at += 8) first.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
  const second = Buffer.from(first);
  const renew = (from: number, to: number): void => {
    for (let at = from; at < to; at += 8) second.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
  };
  for (let at = 0; at < second.length; at += CHANGED_EVERY * SECTOR_BYTES) renew(at, at + SECTOR_BYTES);
  const middle = Math.floor(second.length / 2 / SECTOR_BYTES) * SECTOR_BYTES;
  renew(middle, middle + Math.floor(second.length / REPLACED_PART));
  return { first, second };
}

/** Rows as a client stores them: the index and new frames as they come over the network, the rest out of its old pack. */
async function completePack(base: VersionFiles, target: VersionFiles, arriving: Buffers): Promise<string> {
  const { pieceRows, rows } = target.table.layout;
  const take = async (row: number, from: Buffer): Promise<void> => {
    const { offset, length } = target.table.locate({ first: row, count: 1 });
    await target.write({ first: row, count: 1 }, from.subarray(offset, offset + length), "origin");
  };
  for (let row = 0; row < pieceRows; row += 1) await take(row, arriving.index);
  const [old, frames] = [base.frames, target.frames];
  if (old === undefined || frames === undefined) throw new Error("unreachable: no frame table");
  const places = new Map(Array.from({ length: old.count }, (_, frame) => [toHex(old.hash(frame)), frame]));
  let arrived = arriving.index.length;
  for (let row = pieceRows; row < rows; row += 1) {
    const frame = row - pieceRows;
    const place = places.get(toHex(frames.hash(frame)));
    if (place === undefined) {
      await take(row, arriving.pack);
      arrived += frames.packedLength(frame);
    } else {
      const bytes = await base.readPack(old.offset(place), old.packedLength(place));
      await target.write({ first: row, count: 1 }, bytes, "previous");
    }
  }
  await target.finish();
  return `${mb(arrived)} MB came over the network`;
}

interface Buffers {
  readonly index: Buffer;
  readonly pack: Buffer;
}

async function measureUpdate(dir: string, mib: number): Promise<void> {
  const [origin, client] = [join(dir, "origin"), join(dir, "client")];
  await mkdir(origin);
  await mkdir(client);
  const diskPath = join(dir, "disk.img");
  const { first, second } = makeDisk(mib);
  await writeFile(diskPath, first);
  const one = await packImage({ diskPath, name: "Win", outDir: origin });
  await writeFile(diskPath, second);
  const two = await packImage({ diskPath, name: "Win", outDir: origin, previous: one.indexPath });
  const old = versionPaths(client, "Win", 1);
  await copyFile(one.packPath, old.pack);
  await copyFile(one.indexPath, old.index);
  const base = { indexPath: old.index, diskPath: join(client, "Win_1.img") };
  await unpackImage({ indexPath: old.index, outPath: base.diskPath, format: "raw", stamp: true });
  const arriving = { index: await readFile(two.indexPath), pack: await readFile(two.packPath) };
  await promisify(execFile)("sync", ["-f", dir]);

  print(
    `disk of ${mib} MiB, packs of ${mb(one.packBytes)} and ${mb(two.packBytes)} MB, ${mb(two.newBytes)} MB new`,
  );
  print("| step | written, MB | read, MB | |\n| --- | --- | --- | --- |");
  const held = await openVersion(client, old.index);
  const target = await openVersion(client, two.indexPath);
  await measured("pack and index", async () => await completePack(held, target, arriving));
  const { indexPath, packPath } = { indexPath: target.paths.index, packPath: target.paths.pack };
  await target.close();
  await held.close();
  const rebuild = async (outPath: string, from?: typeof base): Promise<string> => {
    const options = { indexPath, packPath, outPath, format: "raw" } as const;
    const made = await unpackImage(from === undefined ? options : { ...options, base: from });
    return `${made.isClone ? "clone" : "plain"}, ${made.rebuiltPages} pages rebuilt`;
  };
  await measured("disk, from nothing", async () => await rebuild(join(client, "plain.img")));
  await measured("disk, from that of before", async () => await rebuild(join(client, "Win_2.img"), base));
  await measured("`seedPacks: false`: pack given up", async () => {
    return `${mb(await shedPack(old))} MB of frames stay`;
  });
  await measured("`seedPacks: false`: made again before the next update", async () => {
    await restorePack(old, { path: base.diskPath, format: "raw" });
    const again = await openVersion(client, old.index);
    await again.finish();
    await again.close();
    return "";
  });
}

function packOf(indexPath: string): string {
  return indexPath.slice(0, -".index".length);
}

/** How long two packs are equal from behind their headers on, a MiB at a time. */
async function commonBytes(oldPath: string, newPath: string): Promise<number> {
  const [a, b] = [await open(oldPath), await open(newPath)];
  try {
    const [left, right] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
    for (let at = 64; ; at += MIB) {
      const { bytesRead: n } = await a.read(left, 0, MIB, at);
      const { bytesRead: m } = await b.read(right, 0, MIB, at);
      for (let i = 0; i < MIB; i += 1) if (i >= n || i >= m || left[i] !== right[i]) return at + i - 64;
    }
  } finally {
    await a.close();
    await b.close();
  }
}

async function comparePair(oldIndex: string, newIndex: string): Promise<void> {
  const [before, after] = [await openIndex(oldIndex), await openIndex(newIndex)];
  const [old, next] = [await before.frames(), await after.frames()];
  const keptBytes = next.offset(after.head.counts.kept) - next.offset(0);
  const dropped = before.head.pack.length - old.offset(0) - keptBytes;
  const same = await commonBytes(packOf(oldIndex), packOf(newIndex));
  print(`new pack ${mb(after.head.pack.length)} MB, of it kept ${mb(keptBytes)} MB`);
  print(`in the same place as in the old pack: ${(same / 1e3).toFixed(1)} kB`);
  print(
    `dropped from the old pack: ${old.count - after.head.counts.kept} of ${old.count} frames, ${mb(dropped)} MB`,
  );
}

const args = process.argv.slice(2);
if (args[0] === "--pair") {
  await comparePair(args[1] ?? "", args[2] ?? "");
} else {
  const dir = await mkdtemp(join(resolve(args[0] ?? "."), "io-budget-"));
  try {
    await measureUpdate(dir, Number(args[1] ?? "512"));
  } finally {
    await rm(dir, { recursive: true });
  }
}
