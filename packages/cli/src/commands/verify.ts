import { formatBytes, formatDuration } from "@ckmesh/core";
import { indexKindOf, verifyDelta, verifyImage } from "@ckmesh/store";
import type { Action } from "../leaf.js";
import type { CommandContext } from "../run-command.js";
import { workProgress } from "../work-progress.js";

/** Checks an index and its pack, every byte; of an image or of a delta. */
export const verify: Action = async (context, options) => {
  const path = options.arg(0);
  switch (await indexKindOf(path)) {
    case "image":
      await verifyPair(context, path);
      break;
    case "delta":
      await verifyDeltaPair(context, path);
      break;
  }
  return undefined;
};

async function verifyPair({ output, signal }: CommandContext, path: string): Promise<void> {
  const start = performance.now();
  const { index, frames, pages } = await verifyImage(path, { onProgress: workProgress(output), signal });
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
      ...speed(pack.length, seconds),
    },
  );
}

async function verifyDeltaPair({ output, signal }: CommandContext, path: string): Promise<void> {
  const start = performance.now();
  const { delta, frames, isApplied, packedAgain } = await verifyDelta(path, {
    onProgress: workProgress(output),
    signal,
  });
  const seconds = (performance.now() - start) / 1000;
  const { name, base, target, pack } = delta.head;
  const proof = isApplied
    ? `${frames} frames yield those of version ${target.version}, ${packedAgain} of them packed again byte for byte`
    : `${frames} frames match their hashes; to prove what they yield, put both versions beside the delta`;
  output.summary(
    [
      proof,
      `${name} version ${target.version} from ${base.version} is whole: ${formatBytes(pack.length)} checked in ` +
        formatDuration(seconds * 1000),
    ],
    {
      name,
      version: target.version,
      from: base.version,
      id: delta.signed.idHex,
      packBytes: pack.length,
      frames,
      applied: isApplied,
      packedAgain,
      ...speed(pack.length, seconds),
    },
  );
}

function speed(bytes: number, seconds: number): Readonly<Record<string, number>> {
  return { seconds: Math.round(seconds * 1000) / 1000, bytesPerSec: Math.round(bytes / seconds) };
}
