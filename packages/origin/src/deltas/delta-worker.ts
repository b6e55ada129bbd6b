import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { availableParallelism, constants } from "node:os";
import { AppError, describeError, Fields, isAppError } from "@ckmesh/core";
import { framesMissingFrom } from "@ckmesh/image";
import { type DeltaOptions, lowerProcessPriority, makeDelta, openIndex, verifyDelta } from "@ckmesh/store";

// A process for one piece of work (`delta-process.ts`). First of all, so that its threads inherit it. Not the lowest
// priority: aliases wait for this, and where an origin is busy all day it would never end.
lowerProcessPriority(constants.priority.PRIORITY_BELOW_NORMAL);

/** Threads take memory, and clients want the processors. */
const THREADS = Math.min(2, availableParallelism());

const MAX_PATH = 65_536;

// The origin is gone, whatever ended it: nobody waits for this any more.
process.once("disconnect", () => process.exit(1));

async function work(job: Fields): Promise<object> {
  if (job.oneOf("type", ["verify", "make"]) === "verify")
    return await verify(job.string("indexPath", MAX_PATH));
  const signers = job.has("signKeyFile")
    ? [createPrivateKey(await readFile(job.string("signKeyFile", MAX_PATH)))]
    : [];
  return await make({
    basePath: job.string("basePath", MAX_PATH),
    targetPath: job.string("targetPath", MAX_PATH),
    outDir: job.string("outDir", MAX_PATH),
    signers,
  });
}

/** Makes a delta, unless the versions have nothing in common, or nothing is new. @throws {AppError} as `makeDelta` */
async function make(options: DeltaOptions): Promise<object> {
  const base = await (await openIndex(options.basePath)).frames();
  const target = await (await openIndex(options.targetPath)).frames();
  const missing = framesMissingFrom(base, target).length;
  if (missing === 0 || missing === target.count) return {};
  const { packPath, frames } = await makeDelta({ ...options, threads: THREADS });
  return frames === 0 ? {} : { packPath };
}

/** Applies a delta to the version beside it. @throws {AppError} as `verifyDelta` */
async function verify(indexPath: string): Promise<object> {
  const { delta, isApplied } = await verifyDelta(indexPath, { threads: THREADS });
  if (!isApplied) {
    throw new AppError("ERR_FILE_NOT_FOUND", "the versions of the delta are not beside it any more");
  }
  return { id: delta.signed.idHex };
}

async function reply(message: unknown): Promise<void> {
  const answer = await answerTo(message);
  process.removeAllListeners("disconnect");
  process.send?.(answer, () => process.disconnect());
}

async function answerTo(message: unknown): Promise<object> {
  try {
    return await work(new Fields(message, "job", "ERR_INTERNAL"));
  } catch (err) {
    const fileCode = err instanceof Error && "code" in err ? String(err.code) : "";
    return { code: isAppError(err) ? err.code : fileCode, message: describeError(err) };
  }
}

process.once("message", (message) => {
  void reply(message);
});
