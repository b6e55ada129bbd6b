/**
 * What a first install costs on a host that has the files of the disk, over the disks and trees of test/corpus:
 * which sectors, frames and bytes come out of its files, and the CPU time of that. A Markdown table
 * (docs/benchmarks.md). Needs a build.
 *
 *   npx tsx --conditions=ckmesh-src scripts/host-trim-bench.ts [--size small|medium] [--fs ntfs,ext4] [--corpus DIR]
 *
 * `--corpus`: where make-corpus.sh has put or shall put the disks; without it they are made for this run.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type HostTrimCost, hostTrimCost, packForTrim } from "../test/bench/host-trim.js";
import { timedCommand } from "../test/bench/timed-command.js";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "small" },
    fs: { type: "string", default: "ntfs,ext4" },
    corpus: { type: "string" },
  },
});
const MAKE_CORPUS = fileURLToPath(new URL("../test/corpus/make-corpus.sh", import.meta.url));
/** Which version of the disk, and which tree: the same packages, and those before them. */
const CASES = [
  { version: 1, tree: 1, what: "v1, a host with its packages" },
  { version: 2, tree: 2, what: "v2, packed after v1, a host with its packages" },
  { version: 2, tree: 1, what: "v2, a host with the packages of v1" },
];
const COLUMNS = [
  "disk and host",
  "sectors of the host",
  "frames fetched",
  "frames fetched, MB",
  "of the whole pack",
  "index, MB",
  "CPU of the first look, s (files)",
  "CPU of taking, s (frames)",
];

function print(cells: readonly string[]): void {
  process.stdout.write(`| ${cells.join(" | ")} |\n`);
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);

function row(name: string, cost: HostTrimCost): readonly string[] {
  return [
    name,
    percent(cost.hostSectors, cost.sectors),
    percent(cost.frames - cost.hostFrames, cost.frames),
    `${megabytes(cost.fetchedBytes)} of ${megabytes(cost.packBytes)}`,
    percent(cost.fetchedBytes, cost.packBytes),
    megabytes(cost.indexBytes),
    `${cost.scanCpuSec.toFixed(1)} (${cost.hostFiles})`,
    `${cost.takeCpuSec.toFixed(1)} (${cost.hostFrames})`,
  ];
}

const folder = mkdtempSync(join(tmpdir(), "ckmesh-host-trim-"));
const emptyFolder = (name: string): string => {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
};
try {
  const root = values.corpus ?? join(folder, "corpus");
  const corpus = join(root, values.size);
  // Its sums are written last, when all disks are whole.
  if (!existsSync(join(corpus, "SHA256SUMS"))) timedCommand(MAKE_CORPUS, [values.size, root]);
  print(COLUMNS);
  print(COLUMNS.map(() => "---"));
  for (const fs of values.fs.split(",")) {
    const disks = [1, 2].map((version) => join(corpus, `${fs}-v${version}.img`));
    const indexes = await packForTrim(disks, emptyFolder(fs)); // oxlint-disable-line no-await-in-loop
    for (const { version, tree, what } of CASES) {
      const host = join(corpus, `root${tree}`);
      const own = emptyFolder(`${fs}-v${version}-root${tree}`);
      const indexPath = indexes[version - 1] ?? "";
      const cost = await hostTrimCost({ indexPath, host, folder: own }); // oxlint-disable-line no-await-in-loop
      print(row(`${fs} ${what}`, cost));
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
