import { AppError, wait } from "@ckmesh/core";
import type { UploadWorld } from "./upload-file.js";
import { findUpload, listUploads, refusedUpload, type UploadOutcome } from "./upload-outcomes.js";

/** First and longest pause between two questions, ms. */
const FIRST_MS = 200;
const LAST_MS = 3000;
/** Questions in a row that may fail before that counts: an origin may be started again just now. */
const MAX_FAILURES = 20;
/**
 * So long may both files wait for each other, ms: an origin that has both looks at them at once, unless it is short of
 * something, and then says what.
 */
const WAITING_MS = 60_000;

const NO_REASON = "it waits for the other file of the version";

export type PublicationWorld = Pick<UploadWorld, "calls" | "clock" | "signal">;

/**
 * Waits until the origin has looked at a version whose files it has.
 * @param id of the pack's session
 * @param onWaiting while it waits for something, with the reason
 * @returns the number of the published version
 * @throws {AppError} why it is refused; ERR_ORIGIN_INVALID when the origin knows nothing of it; as `listUploads`
 */
export async function awaitPublication(
  id: string,
  { calls, clock, signal }: PublicationWorld,
  onWaiting: (reason: string) => void,
): Promise<number> {
  let pause = FIRST_MS;
  let failures = 0;
  let waitsSince: number | undefined;
  for (;;) {
    let outcome: UploadOutcome | undefined;
    try {
      outcome = findUpload(await listUploads(calls, signal), id);
      failures = 0;
      if (outcome === undefined)
        throw new AppError(
          "ERR_ORIGIN_INVALID",
          "the origin has the files, and does not say what became of them",
        );
    } catch (err) {
      failures += 1;
      if (signal.aborted || !isPassing(err) || failures > MAX_FAILURES) throw err;
    }
    if (outcome?.state === "published") {
      if (outcome.version !== undefined) return outcome.version;
      throw new AppError(
        "ERR_ORIGIN_INVALID",
        "the origin published the upload without saying as which version",
      );
    }
    if (outcome?.state === "refused") throw refusedUpload(outcome);
    if (outcome?.state !== "waiting") waitsSince = undefined;
    else {
      waitsSince ??= clock.now();
      onWaiting(outcome.reason ?? NO_REASON);
      if (clock.now() - waitsSince > WAITING_MS) throw waits(outcome);
    }
    await wait(clock, pause, signal);
    pause = Math.min(LAST_MS, pause * 1.5);
  }
}

function isPassing(err: unknown): boolean {
  return (
    err instanceof AppError &&
    (err.code === "ERR_ORIGIN_UNREACHABLE" ||
      err.code === "ERR_TIMEOUT" ||
      err.code === "ERR_SHUTTING_DOWN" ||
      err.code === "ERR_ORIGIN_BUSY" ||
      err.code === "ERR_AUTH_UNAVAILABLE")
  );
}

function waits({ reason, code }: UploadOutcome): AppError {
  return new AppError(
    "ERR_UPLOAD_REFUSED",
    `the origin has both files and does not publish them: ${reason ?? NO_REASON}; run the command again later to see what became of it`,
    { details: { ...(code !== undefined && { remoteCode: code }) } },
  );
}
