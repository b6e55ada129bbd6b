/**
 * What an index of a large host costs: CPU, memory and disk for FILES files (default 1,000,000) of 25 blocks each,
 * piece by piece; opening it, a search for the sectors of 4 GiB of an image, half of which lie there, and making
 * room when it is full. Hashes are drawn, not computed. Memory is that of the process, with what the script itself
 * needs.
 *
 *     npx tsx --conditions=ckmesh-src scripts/host-index-bench.ts [FILES]
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@ckmesh/core";
import { BlockBuffer } from "../packages/store/src/host/block-buffer.js";
import { BlockRuns } from "../packages/store/src/host/block-runs.js";
import { HostFiles, type NewFile } from "../packages/store/src/host/host-files.js";
import { searchHost } from "../packages/store/src/host/host-search.js";

const BLOCKS_PER_FILE = 25;
const BUFFER_BLOCKS = 512 * 1024;
/** Files whose blocks are drawn at once. */
const DRAWN_FILES = 256;
const SEARCH_FRAMES = 65_536;
const FRAME_SECTORS = 16;
const ID_BYTES = 6;

const random = seededRandom(1);
/** CPU seconds by what was done. */
const pieces = new Map<string, number>();
const count = Number(process.argv[2] ?? 1_000_000);
const dir = mkdtempSync(join(tmpdir(), "ckmesh-host-bench-"));
try {
  mkdirSync(join(dir, "blocks"));
  let files = await openFiles();
  const runs = BlockRuns.open(join(dir, "blocks"));
  const known = Buffer.alloc((SEARCH_FRAMES / 2) * FRAME_SECTORS * ID_BYTES);
  await step("index", () => fill(files, runs, known));
  for (const [name, seconds] of pieces) print(`  ${name}: ${seconds.toFixed(1)} s CPU`);
  print(`blocks ${runs.records}, in ${sizeOf("blocks")} MB; files ${files.count}, in ${sizeOf("files")} MB`);
  const ids = Buffer.concat([known, draw(known.length)]);
  const counts = new Uint8Array(SEARCH_FRAMES).fill(FRAME_SECTORS);
  let found = 0;
  await files.close();
  await step("open", async () => {
    files = await openFiles();
  });
  await step("search", async () => {
    const places = await searchHost({ ids, counts }, files, runs);
    for (const file of places.fileOf) found += Number(file > 0);
  });
  print(`sectors found ${found} of ${ids.length / ID_BYTES}`);
  await step("unchanged files looked up", async () => {
    for (let first = 1; first <= count; first += 256)
      await files.find(Array.from({ length: 256 }, (_, i) => pathOf(first + i)));
  });
  await step("an eighth left out, and all runs merged", async () => {
    await files.leaveOutOldest(Math.floor(runs.records / 8));
    await runs.mergeAll((file) => files.isLive(file));
  });
  print(`blocks ${runs.records}, in ${sizeOf("blocks")} MB; files ${files.count}`);
  await files.close();
} finally {
  rmSync(dir, { recursive: true, force: true });
}

async function openFiles(): Promise<HostFiles> {
  const opened = await HostFiles.open(join(dir, "files"));
  if (opened === undefined) throw new Error("unreachable: the database is damaged");
  return opened;
}

/** As a scan does it, one run of blocks after the other. */
async function fill(files: HostFiles, runs: BlockRuns, known: Buffer): Promise<void> {
  const buffer = new BlockBuffer(BUFFER_BLOCKS);
  let pending: NewFile[] = [];
  let kept = 0;
  for (let first = 1; first <= count; first += DRAWN_FILES) {
    const some = Math.min(DRAWN_FILES, count - first + 1);
    const hashes = piece("drawing the ids", () => draw(some * BLOCKS_PER_FILE * ID_BYTES));
    piece("collecting the blocks", () => {
      for (let i = 0; i < some; i += 1) {
        const number = files.takeNumber();
        for (let block = 0; block < BLOCKS_PER_FILE; block += 1)
          buffer.add(hashes.subarray((i * BLOCKS_PER_FILE + block) * ID_BYTES), number, block);
        const stamp = { size: 1, mtimeMs: first + i, inode: first + i };
        const path = pathOf(first + i);
        pending.push({ ...stamp, path, number, blocks: BLOCKS_PER_FILE, isLeftOut: false });
      }
    });
    if (kept < known.length) kept += hashes.copy(known, kept);
    if (buffer.count + DRAWN_FILES * BLOCKS_PER_FILE <= BUFFER_BLOCKS && first + some <= count) continue;
    const sorted = piece("sorting them", () => buffer.take());
    piece("writing them", () => runs.add(sorted));
    await asyncPiece("noting the files", () => files.put(pending));
    pending = [];
    await asyncPiece("merging", () => runs.compact((file) => files.isLive(file)));
  }
}

function pathOf(i: number): string {
  return `/usr/share/package-${i % 3000}/folder-${i % 7}/a-file-of-some-name-${i}.data`;
}

function draw(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 2) bytes.writeUInt16LE(Math.floor(random.next() * 65_536), at);
  return bytes;
}

/** CPU seconds of the whole process, threads of the database included. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function piece<T>(name: string, work: () => T): T {
  const before = cpuSeconds();
  const result = work();
  pieces.set(name, (pieces.get(name) ?? 0) + cpuSeconds() - before);
  return result;
}

async function asyncPiece(name: string, work: () => Promise<void>): Promise<void> {
  const before = cpuSeconds();
  await work();
  pieces.set(name, (pieces.get(name) ?? 0) + cpuSeconds() - before);
}

async function step(name: string, work: () => Promise<void>): Promise<void> {
  const before = cpuSeconds();
  const start = performance.now();
  await work();
  const cpu = cpuSeconds() - before;
  const seconds = (performance.now() - start) / 1000;
  const rss = process.resourceUsage().maxRSS / 1024;
  print(`${name}: ${cpu.toFixed(1)} s CPU, ${seconds.toFixed(1)} s, ${rss.toFixed(0)} MB RSS at most so far`);
}

function sizeOf(folder: string): string {
  const path = join(dir, folder);
  const bytes = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  return (bytes / 1e6).toFixed(0);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
