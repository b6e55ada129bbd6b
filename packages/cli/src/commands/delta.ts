import { formatBytes, formatDuration } from "@ckmesh/core";
import { type DeltaResult, makeDelta } from "@ckmesh/store";
import type { Action } from "../leaf.js";
import { readSigners } from "../signers.js";
import { workProgress } from "../work-progress.js";

/** Makes the delta between two versions. */
export const delta: Action = async ({ output, signal }, options) => {
  const signers = await readSigners(options);
  const start = performance.now();
  const result = await makeDelta({
    basePath: options.arg(0),
    targetPath: options.arg(1),
    signers,
    signal,
    onProgress: workProgress(output),
  });
  const seconds = (performance.now() - start) / 1000;
  output.summary(describe(result, seconds), facts(result, seconds));
  return undefined;
};

function facts(result: DeltaResult, seconds: number): Readonly<Record<string, unknown>> {
  return {
    name: result.name,
    version: result.version,
    from: result.baseVersion,
    id: result.id,
    index: result.indexPath,
    pack: result.packPath,
    packBytes: result.packBytes,
    indexBytes: result.indexBytes,
    frames: result.frames,
    newFrames: result.newFrames,
    newBytes: result.newBytes,
    plainBytes: result.plainBytes,
    bytesPerSec: Math.round(result.newRawBytes / seconds),
    seconds: Math.round(seconds * 1000) / 1000,
  };
}

function describe(result: DeltaResult, seconds: number): readonly string[] {
  const { frames, newFrames, newBytes, packBytes, plainBytes, baseVersion } = result;
  return [
    `new    ${newFrames} frames, ${formatBytes(newBytes)}, that version ${baseVersion} does not have`,
    `delta  ${formatBytes(packBytes)} for ${frames} of them  ${result.packPath}`,
    `index  ${formatBytes(result.indexBytes)}  ${result.indexPath}`,
    `plain  ${formatBytes(plainBytes)} in frames that are as small without a delta`,
    `${result.name} version ${result.version} from ${baseVersion} in ${formatDuration(seconds * 1000)}: ` +
      `${formatBytes(packBytes + plainBytes)} instead of ${formatBytes(newBytes)}`,
  ];
}
