import { mkdir } from "node:fs/promises";
import { formatBytes, formatDuration } from "@ckmesh/core";
import { type PackResult, packImage } from "@ckmesh/store";
import type { Action } from "../leaf.js";
import { readSigners } from "../signers.js";
import { workProgress } from "../work-progress.js";

const MAX_LEVEL = 12;

/** Packs a disk. */
export const pack: Action = async ({ output, signal }, options) => {
  const outDir = options.requiredText("out");
  const version = options.int("version", 1, Number.MAX_SAFE_INTEGER);
  const previous = options.text("previous");
  const level = options.int("level", 1, MAX_LEVEL);
  const signers = await readSigners(options);
  await mkdir(outDir, { recursive: true });
  const start = performance.now();
  const result = await packImage({
    diskPath: options.arg(0),
    name: options.requiredText("name"),
    outDir,
    signers,
    ...(version === undefined ? {} : { version }),
    ...(previous === undefined ? {} : { previous }),
    ...(level === undefined ? {} : { level }),
    ...(options.flag("trim") && { trim: true }),
    signal,
    onProgress: workProgress(output),
  });
  const seconds = (performance.now() - start) / 1000;
  output.summary(describe(result, seconds), facts(result, seconds));
  return undefined;
};

function facts(result: PackResult, seconds: number): Readonly<Record<string, unknown>> {
  return {
    name: result.name,
    version: result.version,
    id: result.id,
    index: result.indexPath,
    pack: result.packPath,
    diskBytes: result.disk.size,
    packBytes: result.packBytes,
    indexBytes: result.indexBytes,
    newBytes: result.newBytes,
    keptFrames: result.keptFrames,
    ratio: ratioOf(result),
    bytesPerSec: Math.round(result.disk.size / seconds),
    seconds: Math.round(seconds * 1000) / 1000,
  };
}

function describe(result: PackResult, seconds: number): readonly string[] {
  const { disk, packBytes, indexBytes, newBytes, previousVersion, keptFrames, frames } = result;
  return [
    `disk   ${formatBytes(disk.size)} ${disk.format}, ${formatBytes(result.usedBytes)} in use, ${formatBytes(result.uniqueBytes)} unique`,
    `pack   ${formatBytes(packBytes)}  ${result.packPath}`,
    `index  ${formatBytes(indexBytes)}  ${result.indexPath}`,
    ...(previousVersion === undefined
      ? []
      : [
          `kept   ${keptFrames} of ${frames} frames of version ${previousVersion}; ${formatBytes(newBytes)} are new`,
        ]),
    `${result.name} version ${result.version} packed in ${formatDuration(seconds * 1000)}: ` +
      `ratio ${ratioOf(result)}, ${Math.round(disk.size / seconds / 1e6)} MB/s`,
  ];
}

/** Size of the disk over that of the pack, two decimals. */
function ratioOf(result: PackResult): number {
  return Math.round((result.disk.size / Math.max(1, result.packBytes)) * 100) / 100;
}
