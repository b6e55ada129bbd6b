/**
 * What an index of a large host costs: CPU, memory and disk for FILES files (default 1,000,000) of 25 blocks each,
 * and a search for the sectors of 4 GiB of an image, half of which lie there. Hashes are drawn, not computed.
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
const SEARCH_FRAMES = 65_536;
const FRAME_SECTORS = 16;
const ID_BYTES = 6;

const random = seededRandom(1);
const count = Number(process.argv[2] ?? 1_000_000);
const dir = mkdtempSync(join(tmpdir(), "ckmesh-host-bench-"));
try {
  mkdirSync(join(dir, "blocks"));
  const files = await HostFiles.open(join(dir, "files"));
  if (files === undefined) throw new Error("unreachable: a new database is damaged");
  const runs = BlockRuns.open(join(dir, "blocks"));
  const known = Buffer.alloc((SEARCH_FRAMES / 2) * FRAME_SECTORS * ID_BYTES);
  await step("index", () => fill(files, runs, known));
  print(`blocks ${runs.records}, in ${sizeOf("blocks")} MB; files ${files.count}, in ${sizeOf("files")} MB`);
  const ids = Buffer.concat([known, draw(known.length)]);
  const counts = new Uint8Array(SEARCH_FRAMES).fill(FRAME_SECTORS);
  let found = 0;
  await step("search", async () => {
    const places = await searchHost({ ids, counts }, files, runs);
    for (const file of places.fileOf) found += Number(file > 0);
  });
  print(`sectors found ${found} of ${ids.length / ID_BYTES}`);
  await step("unchanged files looked up", async () => {
    for (let first = 1; first <= count; first += 256)
      await files.find(Array.from({ length: 256 }, (_, i) => pathOf(first + i)));
  });
  await files.close();
} finally {
  rmSync(dir, { recursive: true, force: true });
}

/** As a scan does it, one run of blocks after the other. */
async function fill(files: HostFiles, runs: BlockRuns, known: Buffer): Promise<void> {
  const buffer = new BlockBuffer(BUFFER_BLOCKS);
  let pending: NewFile[] = [];
  let kept = 0;
  for (let i = 1; i <= count; i += 1) {
    const hashes = draw(BLOCKS_PER_FILE * ID_BYTES);
    const number = files.takeNumber();
    for (let block = 0; block < BLOCKS_PER_FILE; block += 1)
      buffer.add(hashes.subarray(block * ID_BYTES), number, block);
    if (kept < known.length) kept += hashes.copy(known, kept);
    pending.push({ path: pathOf(i), number, size: 1, mtimeMs: i, inode: i });
    if (buffer.count + BLOCKS_PER_FILE < BUFFER_BLOCKS && i < count) continue;
    runs.add(buffer.take());
    await files.put(pending);
    pending = [];
    await runs.compact((file) => files.isLive(file));
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

async function step(name: string, work: () => Promise<void>): Promise<void> {
  const before = process.cpuUsage();
  const start = performance.now();
  await work();
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - start) / 1000;
  const rss = process.resourceUsage().maxRSS / 1024;
  print(
    `${name}: ${((user + system) / 1e6).toFixed(1)} s CPU, ${seconds.toFixed(1)} s, ${rss.toFixed(0)} MB RSS at most so far`,
  );
}

function sizeOf(folder: string): string {
  const path = join(dir, folder);
  const bytes = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  return (bytes / 1e6).toFixed(0);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
