import { exportPair } from "@ckmesh/client";
import { formatBytes, formatDuration } from "@ckmesh/core";
import { createLogger } from "@ckmesh/runtime";
import type { Action } from "../leaf.js";
import { workProgress } from "../work-progress.js";

/** `client export NAME DIR [--version N]`. */
export const clientExport: Action = async ({ output, signal }, options) => {
  const image = options.arg(0);
  const version = options.int("version", 1, Number.MAX_SAFE_INTEGER);
  const start = performance.now();
  const pair = await exportPair(options.requiredText("store"), image, options.arg(1), {
    logger: createLogger({ level: "warn", destination: process.stderr }),
    ...(version !== undefined && { version }),
    signal,
    onProgress: workProgress(output),
  });
  const seconds = (performance.now() - start) / 1000;
  const bytes = pair.packBytes + pair.indexBytes;
  output.summary(
    [
      pair.index,
      pair.pack,
      `${image} version ${pair.version} exported: ${formatBytes(bytes)} copied and proven in ` +
        formatDuration(seconds * 1000),
    ],
    {
      image,
      ...pair,
      seconds: Math.round(seconds * 1000) / 1000,
      bytesPerSec: Math.round(bytes / seconds),
    },
  );
  return undefined;
};
