import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes, MIB } from "@ckmesh/core";

/*
 * What a large disk costs: packs a sparse raw disk, changes 1 % of it, packs that with the first as previous version,
 * makes the delta, rebuilds the first disk and makes the second out of it. Each step is a process of its own; prints
 * its peak memory, CPU time and the used bytes of the disk per second. Needs a build (`pnpm build`).
 *
 *   npx tsx --conditions=ckmesh-src test/bench/large-disk-bench.ts [--gb 20] [--used-gb 4] [--dir DIR]
 *
 * DIR takes about 1.5 times the used bytes: the disk is removed before it is rebuilt. `--gb 100 --used-gb 20` is the
 * size that is promised.
 */
const { values } = parseArgs({
  options: {
    gb: { type: "string", default: "20" },
    "used-gb": { type: "string", default: "4" },
    dir: { type: "string", default: tmpdir() },
  },
});
const GB = 1e9;
const SECTOR_BYTES = 4096;
/**
 * Of each sector: bytes that no other one has, then as much of one of a few texts, then zeros. What counts here is how
 * many sectors there are; that they pack and hash fast makes the full size affordable.
 */
const UNIQUE_BYTES = 256;
const TEXTS = 61;
/** Every so many used sectors, a run of eight changes: 1 % in all, in every part of the disk. */
const CHANGED_EVERY = 800;
const CHANGED_RUN = 8;

/** The second version of the disk has its own content where it changed. */
const FIRST = 0;
const SECOND = 1;

/** The public steps, in a process of its own; prints peak memory (KiB) and CPU time (µs). */
const WORK = `
const { packImage, makeDelta, verifyDelta, unpackImage } = await import(process.argv[1]);
const [step, dir] = process.argv.slice(2);
const index = (n) => dir + "/Large_" + n + ".ckm.index";
const disk = (n) => dir + "/disk" + n + ".raw";
const steps = {
  pack: () => packImage({ diskPath: dir + "/source.raw", name: "Large", outDir: dir, level: 1 }),
  "pack --previous": () => packImage({ diskPath: dir + "/source.raw", name: "Large", outDir: dir, level: 1, previous: index(1) }),
  delta: () => makeDelta({ basePath: index(1), targetPath: index(2) }),
  "apply the delta": () => verifyDelta(dir + "/Large_2.from_1.ckm.index"),
  unpack: () => unpackImage({ indexPath: index(1), outPath: disk(1), format: "raw", stamp: true }),
  "unpack from a base": () => unpackImage({ indexPath: index(2), outPath: disk(2), format: "raw",
    base: { indexPath: index(1), diskPath: disk(1) } }),
};
await steps[step]();
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
process.stdout.write(JSON.stringify({ maxRSS, cpuUs: userCPUTime + systemCPUTime }));
`;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Numbers that look random: xorshift32. */
function fillUnique(words: Uint32Array, seed: number): void {
  let state = seed || 1;
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
}

/** One used sector; the same for the same number and version. */
function fillSector(sector: Buffer, texts: Buffer, number: number, version: number): void {
  const text = (number % TEXTS) * UNIQUE_BYTES;
  texts.copy(sector, UNIQUE_BYTES, text, text + UNIQUE_BYTES);
  const words = new Uint32Array(sector.buffer, sector.byteOffset, UNIQUE_BYTES / 4);
  fillUnique(words, Math.imul(number + 1, 2_654_435_761) ^ (version * 0x5bd1_e995));
}

/** Texts of words, so that they pack as those of a system do. */
function makeTexts(): Buffer {
  const texts = Buffer.alloc(TEXTS * UNIQUE_BYTES);
  const words = new Uint32Array(1024);
  fillUnique(words, 7);
  let at = 0;
  for (let i = 0; at < texts.length; i += 1) {
    at += texts.write(`${((words[(i * 7) % 1024] ?? 0) % 9973).toString(36)} `, at, "latin1") || texts.length;
  }
  return texts;
}

/** Used MiB are spread evenly over the disk. Writes all of them, or those that changed. */
function writeDisk(path: string, diskMib: number, usedMib: number, version: number): void {
  const fd = openSync(path, version === FIRST ? "w" : "r+");
  try {
    ftruncateSync(fd, diskMib * MIB);
    const texts = makeTexts();
    const block = Buffer.alloc(MIB);
    const perMib = MIB / SECTOR_BYTES;
    for (let i = 0; i < usedMib; i += 1) {
      const at = Math.floor((i * diskMib) / usedMib) * MIB;
      let isWritten = false;
      for (let s = 0; s < perMib; s += 1) {
        const number = i * perMib + s;
        const isChanged = version === SECOND && number % CHANGED_EVERY < CHANGED_RUN;
        isWritten ||= version === FIRST || isChanged;
        const sector = block.subarray(s * SECTOR_BYTES, (s + 1) * SECTOR_BYTES);
        if (version === FIRST || isChanged) fillSector(sector, texts, number, version);
        if (isChanged) writeSync(fd, sector, 0, SECTOR_BYTES, at + s * SECTOR_BYTES);
      }
      if (isWritten && version === FIRST) writeSync(fd, block, 0, MIB, at);
    }
  } finally {
    closeSync(fd);
  }
}

function run(step: string, dir: string, usedBytes: number): void {
  const built = new URL("../../packages/store/dist/index.js", import.meta.url).href;
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "-e", WORK, built, step, dir],
    { encoding: "utf8" },
  );
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${step} failed: ${stderr}`);
  const { maxRSS, cpuUs }: { maxRSS: number; cpuUs: number } = JSON.parse(stdout);
  const rate = (usedBytes / 1e6 / seconds).toFixed(0);
  const cpu = ((cpuUs / 1e6 / usedBytes) * GB).toFixed(2);
  print(`| ${step} | ${formatBytes(maxRSS * 1024)} | ${seconds.toFixed(0)} | ${rate} | ${cpu} |`);
}

const dir = mkdtempSync(join(values.dir, "ckmesh-large-disk-"));
try {
  const diskMib = Math.floor((Number(values.gb) * GB) / MIB);
  const usedMib = Math.floor((Number(values["used-gb"]) * GB) / MIB);
  const usedBytes = usedMib * MIB;
  const source = join(dir, "source.raw");
  writeDisk(source, diskMib, usedMib, FIRST);
  print(`disk of ${values.gb} GB, ${values["used-gb"]} GB used, 1 % changed; ${cpus().length} cores`);
  print("| step | peak memory | s | MB/s of used bytes | CPU s per GB used |");
  print("| --- | --- | --- | --- | --- |");
  run("pack", dir, usedBytes);
  writeDisk(source, diskMib, usedMib, SECOND);
  run("pack --previous", dir, usedBytes);
  rmSync(source);
  run("delta", dir, usedBytes);
  run("apply the delta", dir, usedBytes);
  run("unpack", dir, usedBytes);
  run("unpack from a base", dir, usedBytes);
  for (const file of ["Large_1.ckm", "Large_1.ckm.index", "Large_2.ckm", "Large_2.from_1.ckm"])
    print(`${file}: ${formatBytes(statSync(join(dir, file)).size)}`);
  print(`load at the end ${loadavg()[0]?.toFixed(1)}`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
