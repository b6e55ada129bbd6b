import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { seededRandom } from "@ckmesh/core";
import { packImage, unpackImage } from "@ckmesh/store";

/*
 * What making the disk of an update reads and writes, by /proc/self/io (Linux), with and without a base:
 *   npx tsx --conditions=ckmesh-src test/bench/io-budget-bench.ts FOLDER [MIB]
 * FOLDER lies on the file system to be measured; on one that clones files the two rows differ. Needs `pnpm build`.
 * Bytes are those that went to the storage layer (`write_bytes`) and through calls (`rchar`).
 */
const MIB = 2 ** 20;
/** One sector in so many differs between the versions, as scattered writes of a system do. */
const CHANGED_EVERY = 200;

const [folder = ".", mib = "512"] = process.argv.slice(2);
const dir = await mkdtemp(join(resolve(folder), "io-budget-"));
try {
  const disk = Buffer.alloc(Number(mib) * MIB);
  const random = seededRandom(1);
  for (let at = 0; at < disk.length; at += 16) disk.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
  const diskPath = join(dir, "disk.img");
  await writeFile(diskPath, disk);
  const first = await packImage({ diskPath, name: "Win", outDir: dir });
  for (let at = 0; at < disk.length; at += CHANGED_EVERY * 4096) disk.fill("new ", at, at + 4096);
  await writeFile(diskPath, disk);
  const { indexPath } = await packImage({ diskPath, name: "Win", outDir: dir, previous: first.indexPath });
  const base = { indexPath: first.indexPath, diskPath: join(dir, "one") };
  await unpackImage({ indexPath: base.indexPath, outPath: base.diskPath, format: "raw", stamp: true });
  await promisify(execFile)("sync", ["-f", dir]);
  for (const [title, options] of [
    ["from nothing", {}],
    ["from a base", { base }],
  ] as const) {
    const before = counters();
    const result = await unpackImage({
      indexPath,
      outPath: join(dir, title),
      format: "raw",
      ...options,
    });
    const after = counters();
    process.stdout.write(
      `${title}: ${result.isClone ? "clone" : "plain"}, ${result.rebuiltPages} pages rebuilt, ` +
        `${mb(after.write - before.write)} MB written, ${mb(after.read - before.read)} MB read\n`,
    );
  }
} finally {
  await rm(dir, { recursive: true });
}

function counters(): { readonly write: number; readonly read: number } {
  const text = readFileSync("/proc/self/io", "utf8");
  const of = (key: string): number => Number(new RegExp(`^${key}: (\\d+)`, "m").exec(text)?.[1]);
  return { write: of("write_bytes"), read: of("rchar") };
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
