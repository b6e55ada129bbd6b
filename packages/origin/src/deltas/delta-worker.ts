import { availableParallelism, constants, setPriority } from "node:os";
import { AppError, describeError, Fields, isAppError } from "@ckmesh/core";
import { verifyDelta } from "@ckmesh/store";

// A process for one piece of work (`delta-process.ts`). First of all, so that its threads inherit it.
setPriority(constants.priority.PRIORITY_LOW);

/** Threads take memory, and clients want the processors. */
const THREADS = Math.min(2, availableParallelism());

// The origin is gone, whatever ended it: nobody waits for this any more.
process.once("disconnect", () => process.exit(1));

async function work(job: Fields): Promise<object> {
  job.oneOf("type", ["verify"]);
  return await verify(job.string("indexPath", 65_536));
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
