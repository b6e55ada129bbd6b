import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { makeDelta } from "@ckmesh/store";

/**
 * Applies a delta as a client does, from a store that holds the base into one version more, on as many threads as
 * asked, beside packing the same content at the target's level on one thread. Rates are of raw bytes; CPU time is of the
 * whole process, as the machine may be busy. Needs a build (`pnpm build`) and two versions packed with it; a delta
 * that is missing is made.
 *
 *   npx tsx --conditions=ckmesh-src test/bench/apply-bench.ts BASE_INDEX TARGET_INDEX [--threads 2] [--rounds 3]
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: "string", default: "2" }, rounds: { type: "string", default: "3" } },
});

/** Runs in a process of its own, with the built package. */
const WORK = `
const [store, codecs, decoders, image, core, dir, base, target, delta, threads] = process.argv.slice(1);
const { readFileSync } = await import("node:fs");
const { DeltaRebuild, ImageStore } = await import(store);
const { createCodec } = await import(codecs);
const { FrameDecoder } = await import(decoders);
const { decodeHead, HEAD_BYTES } = await import(image);
const { silentLogger } = await import(core);
const clock = { now: () => performance.now(), wall: Date.now, after: () => () => {} };
const indexes = [base, target, delta].map((path) => readFileSync(path));
const { name, codecs: [{ level }] } = decodeHead(indexes[1].subarray(0, HEAD_BYTES)).head;
const images = await ImageStore.open(dir, { clock, logger: silentLogger });
const heads = indexes.map((index) => index.subarray(0, HEAD_BYTES));
const files = {
  base: await images.openVersion(name, heads[0]),
  target: await images.openVersion(name, heads[1]),
  delta: await images.openDelta(name, heads[2]),
};
const fill = async (rows, index, pack, first, count) => {
  for (let row = first; row < first + count; row += 1) {
    const { file, offset, length } = rows.table.locate({ first: row, count: 1 });
    await rows.write({ first: row, count: 1 }, (file === "index" ? index : pack).subarray(offset, offset + length), "peers");
  }
};
const pack = (path) => readFileSync(path.slice(0, -".index".length));
await fill(files.target, indexes[1], undefined, 0, files.target.table.layout.pieceRows);
const { layout } = files.delta.table;
await fill(files.delta, indexes[2], undefined, 0, layout.pieceRows);
await fill(files.delta, indexes[2], pack(delta), layout.pieceRows, layout.frameRows);
const spent = async (work) => {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
};
const rebuild = await DeltaRebuild.open({ ...files, threads: Number(threads) });
const ks = Uint32Array.from({ length: rebuild.frames }, (_, k) => k);
const applyAll = async (some) => {
  const { badBase, badDelta, damaged } = await rebuild.apply(some);
  if (badBase.length + badDelta.length + damaged.delta.length > 0) throw new Error("not everything could be applied");
};
// One task for each thread, so that all are there.
const first = 16 * rebuild.threads;
const start = await spent(() => applyAll(ks.subarray(0, first)));
const apply = await spent(() => applyAll(ks.subarray(first)));
const codec = createCodec(level);
const decoder = await FrameDecoder.create();
const frames = files.target.frames;
const raws = [];
let raw = 0;
for (const k of ks.subarray(first)) {
  const frame = rebuild.targetRow(k) - files.target.table.layout.pieceRows;
  const packed = await files.target.read({ first: rebuild.targetRow(k), count: 1 });
  raws.push(Buffer.from(decoder.unpack(packed, frames.rawLength(frame))));
  raw += raws.at(-1).length;
}
const packing = await spent(async () => {
  for (const bytes of raws) codec.pack(bytes);
});
await rebuild.close();
for (const rows of Object.values(files)) await rows.close();
await images.close();
process.stdout.write(JSON.stringify({ raw, start, apply, packing, rssKib: process.resourceUsage().maxRSS }));
`;

interface Spent {
  readonly seconds: number;
  readonly cpu: number;
}

interface Measured {
  /** Bytes applied after the start. */
  readonly raw: number;
  /** Until each thread has done its first 16 frames. */
  readonly start: Spent;
  readonly apply: Spent;
  readonly packing: Spent;
  readonly rssKib: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function measure(base: string, target: string, delta: string): Measured {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-apply-bench-"));
  try {
    const name = basename(base).slice(0, basename(base).lastIndexOf("_"));
    const held = join(folder, "images", name);
    mkdirSync(held, { recursive: true });
    for (const path of [base, base.slice(0, -".index".length)])
      copyFileSync(path, join(held, basename(path)));
    const built = [
      "store/dist/index.js",
      "store/dist/pack/codec.js",
      "store/dist/pack/frame-decoder.js",
      "image/dist/index.js",
      "core/dist/index.js",
    ].map((path) => new URL(`../../packages/${path}`, import.meta.url).href);
    const args = ["--input-type=module", "-e", WORK, ...built, folder, base, target, delta, values.threads];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    const measured: Measured = JSON.parse(stdout);
    return measured;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(base: string, target: string): Promise<void> {
  const version = /_([0-9]+)\.ckm\.index$/;
  const delta = join(
    dirname(target),
    basename(target).replace(version, `_$1.from_${version.exec(base)?.[1] ?? "?"}.ckm.index`),
  );
  if (!existsSync(delta)) await makeDelta({ basePath: base, targetPath: target });
  const load = loadavg()[0]?.toFixed(1);
  print(`machine: ${cpus().length} x ${cpus()[0]?.model ?? "?"}, load ${load}, Node ${process.version}`);
  const runs = Array.from({ length: Number(values.rounds) }, () => measure(base, target, delta));
  const rate = (of: (run: Measured) => number): string => `${median(runs.map(of)).toFixed(0)} MB/s`;
  print(
    `apply    ${rate(({ raw, apply }) => raw / 1e6 / apply.seconds)} on ${values.threads} threads, ` +
      `${rate(({ raw, apply }) => raw / 1e6 / apply.cpu)} per CPU, ` +
      `peak RSS ${(Math.max(...runs.map(({ rssKib }) => rssKib)) / 1024).toFixed(0)} MiB with the bench`,
  );
  print(
    `packing  ${rate(({ raw, packing }) => raw / 1e6 / packing.cpu)} per CPU: the same content, nothing else`,
  );
  print(
    `start    ${median(runs.map(({ start }) => start.cpu * 1000)).toFixed(0)} ms of CPU until each thread has applied 16 frames`,
  );
  const ratio = median(runs.map(({ apply, packing }) => apply.cpu / packing.cpu));
  print(`applying takes ${ratio.toFixed(2)} x the CPU time of packing`);
}

const [base, target] = positionals;
if (base === undefined || target === undefined) throw new Error("two indexes are needed: base and target");
await main(base, target);
