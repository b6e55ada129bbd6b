import { join } from "node:path";
import { type CommandRun, isInstalled, timedCommand } from "../timed-command.js";
import { fileBytes, type ImagePair, type UpdateCost } from "./update-cost.js";

/** By the command that must be there, in the order of the table. */
export const RIVALS: Readonly<Record<string, (pair: ImagePair) => readonly UpdateCost[]>> = {
  casync: (pair) => [casync(pair)],
  zck: (pair) => [zchunk(pair)],
  rsync: (pair) => [rsync(pair)],
  xdelta3: (pair) => [xdelta(pair)],
  zstd,
};

/** What a rival costs; a row that says so when it is not installed. */
export function rivalCosts(command: string, pair: ImagePair): readonly UpdateCost[] {
  const rival = RIVALS[command];
  if (rival === undefined) throw new Error(`${command} is none of ${Object.keys(RIVALS).join(", ")}`);
  return isInstalled(command) ? rival(pair) : [{ tool: command, note: "not installed" }];
}

/** Chunks that the store of the older image lacks, and the newer image's list of chunks. */
function casync({ before, after, folder }: ImagePair): UpdateCost {
  const store = join(folder, "chunks.castr");
  const indexOf = (name: string): string => join(folder, `${name}.caibx`);
  const make = (disk: string, name: string): CommandRun =>
    timedCommand("casync", ["make", "--compression=zstd", `--store=${store}`, indexOf(name), disk]);
  const first = make(before, "v1");
  const held = treeBytes(store);
  const update = make(after, "v2");
  return {
    tool: "casync (zstd)",
    firstBytes: held + fileBytes(indexOf("v1")),
    updateBytes: treeBytes(store) - held + fileBytes(indexOf("v2")),
    first,
    update,
  };
}

function zchunk({ before, after, folder }: ImagePair): UpdateCost {
  const [one, two] = [join(folder, "v1.zck"), join(folder, "v2.zck")];
  const first = timedCommand("zck", ["-o", one, before]);
  const update = timedCommand("zck", ["-o", two, after]);
  const { stdout } = timedCommand("zck_delta_size", [one, two]);
  const found = /Would download (\d+) of/.exec(stdout);
  if (found === null) throw new Error(`zck_delta_size says ${stdout}`);
  return { tool: "zchunk", firstBytes: fileBytes(one), updateBytes: Number(found[1]), first, update };
}

function rsync({ before, after, folder }: ImagePair): UpdateCost {
  const target = join(folder, "rsync.img");
  timedCommand("cp", ["--sparse=always", before, target]);
  const how = ["--no-whole-file", "--checksum", "--block-size=4096", "--stats"];
  const compression = ["--compress", "--compress-choice=zstd", "--compress-level=9"];
  const update = timedCommand("rsync", [...how, ...compression, after, target]);
  const count = (what: string): number => {
    const found = new RegExp(`Total bytes ${what}: ([\\d,]+)`).exec(update.stdout);
    if (found === null) throw new Error(`rsync says ${update.stdout}`);
    return Number((found[1] ?? "").replaceAll(",", ""));
  };
  return {
    tool: "rsync -z (zstd 9, 4-KiB blocks)",
    updateBytes: count("sent") + count("received"),
    update,
    note: "both ways",
  };
}

function xdelta({ before, after, folder }: ImagePair): UpdateCost {
  const out = join(folder, "v2.xdelta");
  // The whole old image as source window.
  const args = ["-e", "-3", "-f", "-B", String(fileBytes(before)), "-s", before, after, out];
  const update = timedCommand("xdelta3", args);
  return { tool: "xdelta3 -3", updateBytes: fileBytes(out), update, note: "needs the exact older image" };
}

function zstd({ before, after, folder }: ImagePair): readonly UpdateCost[] {
  const out = (name: string): string => join(folder, `${name}.zst`);
  const run = (name: string, disk: string, ...how: readonly string[]): CommandRun =>
    timedCommand("zstd", ["-q", "-3", ...how, "-o", out(name), disk]);
  // A window that holds the older image whole.
  const patch = run("patch", after, "--long=30", `--patch-from=${before}`);
  const [first, update] = [run("v1", before, "--long=27"), run("v2", after, "--long=27")];
  return [
    {
      tool: "zstd -3 --patch-from",
      updateBytes: fileBytes(out("patch")),
      update: patch,
      note: "needs the exact older image",
    },
    {
      tool: "whole image, zstd -3 --long",
      firstBytes: fileBytes(out("v1")),
      updateBytes: fileBytes(out("v2")),
      first,
      update,
    },
  ];
}

function treeBytes(folder: string): number {
  const { stdout } = timedCommand("find", [folder, "-type", "f", "-printf", "%s\n"]);
  return stdout.split("\n").reduce((sum, line) => sum + Number(line), 0);
}
