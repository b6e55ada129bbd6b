import { AppError, formatBytes, formatDuration } from "@ckmesh/core";
import { unpackImage } from "@ckmesh/store";
import type { Action } from "../leaf.js";
import { workProgress } from "../work-progress.js";

const FORMATS = ["original", "raw", "vhd"] as const;

/** Rebuilds the disk of a pack. */
export const unpack: Action = async ({ output, signal }, options) => {
  const asked = options.requiredText("format");
  const format = FORMATS.find((known) => known === asked);
  if (format === undefined)
    throw new AppError(
      "ERR_USAGE",
      `--format must be one of ${FORMATS.join(", ")}, not ${JSON.stringify(asked)}`,
    );
  const start = performance.now();
  const result = await unpackImage({
    indexPath: options.arg(0),
    outPath: options.arg(1),
    format,
    signal,
    onProgress: workProgress(output),
  });
  const seconds = (performance.now() - start) / 1000;
  const { outPath, fileBytes, diskBytes } = result;
  const rate = fileBytes / seconds;
  output.summary(
    [
      `${outPath}: ${formatBytes(fileBytes)}, every page checked, in ${formatDuration(seconds * 1000)} ` +
        `(${Math.round(rate / 1e6)} MB/s)`,
    ],
    {
      out: outPath,
      format,
      fileBytes,
      diskBytes,
      seconds: Math.round(seconds * 1000) / 1000,
      bytesPerSec: Math.round(rate),
    },
  );
  return undefined;
};
