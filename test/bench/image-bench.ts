import { execFileSync, spawnSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  opendirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes, MIB } from "@ckmesh/core";

/**
 * Packs and unpacks a disk image beside casync, in turns, whole processes with cached input, and prints the
 * rates, their ratios and the peak memory. Needs a build (`pnpm build`).
 *
 *   npx tsx --conditions=ckmesh-src test/bench/image-bench.ts [--mib 640] [--level 3] [--rounds 3] [--keep DIR]
 */
const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "640" },
    level: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    keep: { type: "string" },
  },
});
const [mib, level, rounds] = [Number(values.mib), Number(values.level), Number(values.rounds)];

/** Runs in a process of its own: packs, unpacks or verifies with the built package. */
const WORK = `
const { packImage, unpackImage, verifyImage } = await import(process.argv[1]);
const [work, disk, dir, level] = process.argv.slice(2);
const indexPath = dir + "/Bench_1.ckm.index";
if (work === "pack") await packImage({ diskPath: disk, name: "Bench", outDir: dir, level: Number(level) });
if (work === "update") await packImage({ diskPath: disk, name: "Bench", outDir: dir, level: Number(level), previous: dir });
if (work === "unpack") await unpackImage({ indexPath, outPath: dir + "/out.img" });
if (work === "verify") await verifyImage(indexPath);
process.stdout.write(String(process.resourceUsage().maxRSS));
`;

interface Run {
  readonly seconds: number;
  readonly rssKib: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function timed(command: string, args: readonly string[]): Run {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
  return { seconds, rssKib: Number(stdout) };
}

function ckmesh(work: string, disk: string, dir: string): Run {
  const built = new URL("../../packages/store/dist/index.js", import.meta.url).href;
  return timed(process.execPath, ["--input-type=module", "-e", WORK, built, work, disk, dir, String(level)]);
}

function isInstalled(command: string): boolean {
  return spawnSync(command, ["--help"], { stdio: "ignore" }).error === undefined;
}

/** Files of this machine, up to `bytes` in all. */
function* machineFiles(bytes: number): Generator<string> {
  let left = bytes;
  const folders = ["/usr/lib", "/usr/share", "/usr/bin", "/opt", "/usr/local"];
  for (let folder = folders.shift(); folder !== undefined && left > 0; folder = folders.shift()) {
    let entries: ReturnType<typeof opendirSync>;
    try {
      entries = opendirSync(folder);
    } catch {
      continue; // not here, or not for us
    }
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(path);
      if (!entry.isFile() || left <= 0) continue;
      left -= statSync(path).size;
      yield path;
    }
    entries.closeSync();
  }
}

/** An ext4 image of the machine's own files where mke2fs is there, else those files one after the other. */
function buildDisk(folder: string): string {
  const disk = join(folder, "disk.img");
  const size = mib * MIB;
  const root = join(folder, "root");
  const useExt4 = isInstalled("mke2fs");
  mkdirSync(root);
  writeFileSync(disk, "");
  let number = 0;
  for (const path of machineFiles(size * 0.75)) {
    const to = join(root, String(number % 100));
    try {
      if (useExt4) {
        mkdirSync(to, { recursive: true });
        copyFileSync(path, join(to, `${number}`));
      } else {
        const content = readFileSync(path);
        appendFileSync(disk, Buffer.concat([content, Buffer.alloc((4096 - (content.length % 4096)) % 4096)]));
      }
    } catch {
      continue; // not readable for us
    }
    number += 1;
  }
  truncateSync(disk, size);
  if (useExt4) execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-d", root, disk]);
  else print("mke2fs is not here: the disk is a row of files instead of a file system");
  rmSync(root, { recursive: true });
  return disk;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function report(name: string, own: readonly Run[], other: readonly Run[], rival: string): void {
  const bytes = mib * MIB;
  const rate = (runs: readonly Run[]): string =>
    `${(bytes / 1e6 / median(runs.map((r) => r.seconds))).toFixed(0)} MB/s`;
  const rss = `peak RSS ${formatBytes(Math.max(...own.map((r) => r.rssKib)) * 1024)}`;
  if (other.length === 0) {
    print(`${name.padEnd(8)} ${rate(own)}, ${rss}`);
    return;
  }
  const ratio = median(own.map((run, i) => (other[i]?.seconds ?? Number.NaN) / run.seconds));
  print(`${name.padEnd(8)} ${rate(own)}, ${rss}; ${rival} ${rate(other)}; ratio ${ratio.toFixed(2)}`);
}

function main(folder: string): void {
  const disk = buildDisk(folder);
  const hasCasync = isInstalled("casync");
  print(
    `disk of ${formatBytes(mib * MIB)} (${formatBytes(statSync(disk).blocks * 512)} used), level ${level}, ${rounds} rounds`,
  );
  print(
    `machine: ${cpus().length} x ${cpus()[0]?.model ?? "?"}, load ${loadavg()[0]?.toFixed(1)}, Node ${process.version}`,
  );
  if (!hasCasync) print("casync is not here: no ratios (Debian package casync)");
  const runs = new Map<string, Run[]>();
  const note = (name: string, run: Run): void => void runs.set(name, [...(runs.get(name) ?? []), run]);
  for (let round = 0; round < rounds; round += 1) {
    const [own, other] = [join(folder, "own"), join(folder, "casync")];
    for (const dir of [own, other]) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
    }
    const index = join(other, "disk.caibx");
    const store = `--store=${join(other, "store.castr")}`;
    execFileSync("cat", [disk], { stdio: ["ignore", "ignore", "ignore"] }); // into the page cache
    note("pack", ckmesh("pack", disk, own));
    if (hasCasync) note("make", timed("casync", ["make", "--compression=zstd", store, index, disk]));
    note("unpack", ckmesh("unpack", disk, own));
    if (hasCasync) {
      const out = join(other, "out.img");
      const extract = timed("casync", ["extract", store, index, out]);
      note("extract", extract);
      // Ours has its final name only when it is on the disk: the same for casync's file.
      const sync = timed("sync", [out]);
      note("durable extract", { ...extract, seconds: extract.seconds + sync.seconds });
    }
    note("verify", ckmesh("verify", disk, own));
    note("update", ckmesh("update", disk, own));
    if (round === 0)
      print(
        `pack ${formatBytes(statSync(join(own, "Bench_1.ckm")).size)}, rebuilt disk ${isSame(disk, join(own, "out.img"))}`,
      );
  }
  const of = (name: string): readonly Run[] => runs.get(name) ?? [];
  report("pack", of("pack"), of("make"), "casync make");
  report("unpack", of("unpack"), of("extract"), "casync extract (not synced)");
  report("unpack", of("unpack"), of("durable extract"), "casync extract, then sync");
  report("verify", of("verify"), [], "");
  report("update", of("update"), [], "");
  print(`load at the end ${loadavg()[0]?.toFixed(1)}; unpack ends with its file on the disk (fsync)`);
}

function isSame(a: string, b: string): string {
  return spawnSync("cmp", ["-s", a, b]).status === 0 ? "equal" : "DIFFERENT";
}

const folder = mkdtempSync(join(values.keep ?? tmpdir(), "ckmesh-image-bench-"));
try {
  main(folder);
} finally {
  if (values.keep === undefined) rmSync(folder, { recursive: true, force: true });
}
