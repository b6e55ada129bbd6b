/**
 * Bytes and CPU time of a first install and of updates, ours beside casync, zchunk, rsync, xdelta3 and zstd, over
 * the disks of test/corpus. Prints Markdown tables (docs/benchmarks.md) or JSON. Every delta is also applied, and
 * what it yields proven. Needs a build; the tools come with `sudo bash scripts/install-test-packages --bench`, and a
 * rival that is not installed is named as such.
 *
 *   npx tsx --conditions=ckmesh-src scripts/delta-bench.ts [--size small|medium] [--fs ntfs,ext4]
 *       [--versions 6 --behind 1,2,5] [--rivals casync,xdelta3] [--corpus DIR] [--json]
 *
 * `--corpus`: where make-corpus.sh has put or shall put the disks; without it they are made for this run.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { PackedVersions } from "../test/bench/delta/ours.js";
import { RIVALS, rivalCosts } from "../test/bench/delta/rivals.js";
import { costTable } from "../test/bench/delta/table.js";
import { fileBytes, type UpdateCost } from "../test/bench/delta/update-cost.js";
import { timedCommand } from "../test/bench/timed-command.js";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "small" },
    fs: { type: "string", default: "ntfs,ext4" },
    versions: { type: "string", default: "2" },
    behind: { type: "string", default: "1" },
    rivals: { type: "string", default: Object.keys(RIVALS).join(",") },
    corpus: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const MAKE_CORPUS = fileURLToPath(new URL("../test/corpus/make-corpus.sh", import.meta.url));
const versions = Number(values.versions);

const bytesOf = ({ tool, firstBytes, updateBytes }: UpdateCost): UpdateCost => ({
  tool,
  ...(firstBytes !== undefined && { firstBytes }),
  ...(updateBytes !== undefined && { updateBytes }),
});

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function bench(fs: string, images: readonly string[], folder: string): Promise<void> {
  const emptyFolder = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path);
    return path;
  };
  const packed = new PackedVersions(emptyFolder(`${fs}-ckmesh`), images);
  for (const behind of values.behind.split(",").map(Number)) {
    const [before, after] = [images.at(-1 - behind), images.at(-1)];
    if (before === undefined || after === undefined) throw new Error(`no disk is ${behind} versions behind`);
    const rows: UpdateCost[] = [...(await packed.costs(behind))]; // oxlint-disable-line no-await-in-loop
    for (const rival of values.rivals.split(",")) {
      const own = emptyFolder(`${fs}-${behind}-${rival}`);
      rows.push(...rivalCosts(rival, { before, after, folder: own }));
      rmSync(own, { recursive: true });
    }
    if (values.json) {
      print(JSON.stringify({ fs, behind, rows: rows.map(bytesOf) }));
      continue;
    }
    const mb = (fileBytes(after) / 1e6).toFixed(0);
    const distance = behind === 1 ? "one version" : `${behind} versions`;
    print(`### ${values.size} ${fs}, disk of ${mb} MB, ${distance} behind\n\n${costTable(rows)}`);
  }
}

const folder = mkdtempSync(join(tmpdir(), "ckmesh-delta-bench-"));
try {
  const root = values.corpus ?? join(folder, "corpus");
  const imageOf = (fs: string, version: number): string => join(root, values.size, `${fs}-v${version}.img`);
  // Its sums are written last, when all disks are whole.
  const isMade = existsSync(join(root, values.size, "SHA256SUMS"));
  if (!isMade || !existsSync(imageOf("ntfs", versions)))
    timedCommand(MAKE_CORPUS, [values.size, root, values.versions]);
  if (!values.json)
    print(`${cpus().length} processors, load ${loadavg()[0]?.toFixed(1) ?? "?"}, Node ${process.version}\n`);
  for (const fs of values.fs.split(",")) {
    const images = Array.from({ length: versions }, (_, i) => imageOf(fs, i + 1));
    await bench(fs, images, folder); // oxlint-disable-line no-await-in-loop
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
