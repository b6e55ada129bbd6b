import { formatBytes, formatDuration } from "@ckmesh/core";
import { verifyImage } from "@ckmesh/store";
import type { Action } from "../leaf.js";
import { workProgress } from "../work-progress.js";

/** Checks an index and its pack, every byte. */
export const verify: Action = async ({ output, signal }, options) => {
  const start = performance.now();
  const { index, frames, pages } = await verifyImage(options.arg(0), {
    onProgress: workProgress(output),
    signal,
  });
  const seconds = (performance.now() - start) / 1000;
  const { name, version, pack } = index.head;
  output.summary(
    [
      `${frames} frames and ${pages} pages match`,
      `${name} version ${version} is whole: ${formatBytes(pack.length)} checked in ${formatDuration(seconds * 1000)}`,
    ],
    {
      name,
      version,
      id: index.signed.idHex,
      packBytes: pack.length,
      frames,
      pages,
      seconds: Math.round(seconds * 1000) / 1000,
      bytesPerSec: Math.round(pack.length / seconds),
    },
  );
  return undefined;
};
