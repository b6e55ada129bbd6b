import { join } from "node:path";
import { buildExt4Disk } from "./ext4-disk.js";
import type { ChosenFile } from "./file-choice.js";
import { buildRawDisk } from "./raw-disk.js";
import { runTool } from "./run-tool.js";

/** A disk for the demonstration, and how to make its next version. */
export interface DemoDisk {
  readonly path: string;
  /** `ext4` when mke2fs is here, else `raw`. */
  readonly kind: "ext4" | "raw";
  /** Changes some files, adds one, and overwrites some blocks in place. */
  update(): Promise<void>;
}

/** Builds a disk of these files in `folder`; needs no root. */
export async function buildDisk(
  folder: string,
  files: readonly ChosenFile[],
  wantedBytes: number,
  signal: AbortSignal,
): Promise<DemoDisk> {
  const path = join(folder, "disk.img");
  const filler = Math.max(0, wantedBytes - files.reduce((sum, file) => sum + file.bytes, 0));
  if (await hasExt4Tools(signal)) return buildExt4Disk(folder, path, files, filler, signal);
  return buildRawDisk(path, files, filler, signal);
}

/** Whether mke2fs and debugfs are here. */
async function hasExt4Tools(signal: AbortSignal): Promise<boolean> {
  try {
    await runTool("mke2fs", ["-V"], signal);
    await runTool("debugfs", ["-V"], signal);
    return true;
  } catch {
    // Absent, or too old to answer: the raw disk needs neither.
    signal.throwIfAborted();
    return false;
  }
}
