import { copyFile, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { KIB, MIB, randomInt, seededRandom } from "@ckmesh/core";
import { BLOCK_BYTES, overwrite, REPLACED_EVERY, randomBytes } from "./change-disk.js";
import type { DemoDisk } from "./demo-disk.js";
import type { ChosenFile } from "./file-choice.js";
import { runTool } from "./run-tool.js";

const NEW_FILE_BYTES = 4 * MIB;

/** An ext4 file system with these files and `filler` further bytes, made by mke2fs without root. */
export async function buildExt4Disk(
  folder: string,
  path: string,
  files: readonly ChosenFile[],
  filler: number,
  signal: AbortSignal,
): Promise<DemoDisk> {
  const tree = join(folder, "tree");
  await mkdir(tree);
  let bytes = filler;
  const names: string[] = [];
  for (const [i, file] of files.entries()) {
    signal.throwIfAborted();
    const name = join(String(Math.floor(i / 500)), String(i));
    if (i % 500 === 0) await mkdir(join(tree, String(i / 500)));
    // A file may vanish or be locked between choice and copy: the disk then does without.
    const isCopied = await copyFile(file.path, join(tree, name)).then(
      () => true,
      () => false,
    );
    if (!isCopied) continue;
    names.push(name);
    bytes += file.bytes;
  }
  if (filler > 0) await writeFile(join(tree, "filler"), randomBytes(seededRandom(1), filler));
  await writeFile(path, "");
  await truncate(path, Math.ceil((bytes * 1.12 + files.length * BLOCK_BYTES + 32 * MIB) / MIB) * MIB);
  await runTool(
    "mke2fs",
    ["-q", "-F", "-t", "ext4", "-b", String(BLOCK_BYTES), "-m", "0", "-d", tree, path],
    signal,
  );
  await rm(tree, { recursive: true });
  return {
    path,
    kind: "ext4",
    update: async () => {
      await editFiles(folder, path, names, signal);
      await overwriteBlocks(path, names[1] ?? "filler", signal);
    },
  };
}

/** Replaces files through the file system, as an update of the guest would. */
async function editFiles(
  folder: string,
  path: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const random = seededRandom(2);
  const script: string[] = [];
  const fresh = join(folder, "fresh");
  await mkdir(fresh);
  for (const [i, name] of names.filter((_, at) => at % REPLACED_EVERY === 0).entries()) {
    const file = join(fresh, String(i));
    await writeFile(file, randomBytes(random, 16 * KIB + randomInt(random, 64 * KIB)));
    script.push(`cd /${dirname(name)}`, `rm ${basename(name)}`, `write ${file} ${basename(name)}`);
  }
  await writeFile(join(fresh, "new"), randomBytes(random, NEW_FILE_BYTES));
  script.push("cd /", `write ${join(fresh, "new")} application`);
  const scriptFile = join(folder, "debugfs.txt");
  await writeFile(scriptFile, `${script.join("\n")}\n`);
  await runTool("debugfs", ["-w", "-f", scriptFile, path], signal);
  await rm(fresh, { recursive: true });
  await rm(scriptFile);
}

/** Overwrites the blocks of one file where they lie, behind the file system's back. */
async function overwriteBlocks(path: string, name: string, signal: AbortSignal): Promise<void> {
  const listed = await runTool("debugfs", ["-R", `blocks ${name}`, path], signal);
  const blocks = (listed.match(/\d+/g) ?? []).map(Number).slice(0, 64);
  await overwrite(
    path,
    blocks.map((block) => block * BLOCK_BYTES),
    BLOCK_BYTES,
  );
}
