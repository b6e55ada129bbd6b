import { AppError, Fields } from "@ckmesh/core";
import { brokenCheck, checkFailure, startCheckWorker } from "../check-thread.js";
import type { PairToVerify, VerifiedIndex, VerifiedPair } from "./verify-pair.js";

/** Asks for an index of a foreign pack, written to `indexPath`, instead of a check. */
export interface OpaqueJob {
  /** Unix seconds. */
  readonly createdAt: number;
  /** 32 bytes. */
  readonly secret: Uint8Array;
}

/**
 * Checks a pair in a thread of its own, so that requests are answered meanwhile.
 * @throws {AppError} as `verifyPair`; ERR_ABORTED; ERR_FILE_NOT_FOUND when a file is gone
 */
export function verifyInWorker(
  pair: PairToVerify & { readonly opaque?: OpaqueJob },
  signal: AbortSignal,
): Promise<VerifiedPair> {
  return runCheck({ ...pair }, signal, parseVerified);
}

/** `verifyIndex` in a thread of its own. @throws {AppError} as it does; ERR_ABORTED; ERR_FILE_NOT_FOUND */
export function verifyIndexInWorker(
  indexPath: string,
  publishers: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<VerifiedIndex> {
  return runCheck({ indexPath, publishers }, signal, (fields) => ({
    ...parseVerified(fields),
    name: fields.string("name", 255),
    version: fields.int("version", 1, Number.MAX_SAFE_INTEGER),
    packBytes: fields.int("packBytes", 0, Number.MAX_SAFE_INTEGER),
    isOpaque: fields.boolean("isOpaque"),
  }));
}

function runCheck<T>(workerData: object, signal: AbortSignal, parse: (fields: Fields) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const worker = startCheckWorker("publish/verify-worker.js", workerData);
    const end = (finish: () => void): void => {
      signal.removeEventListener("abort", onAbort);
      finish();
      worker.terminate().catch(() => {}); // It is over either way.
    };
    const onAbort = (): void => end(() => reject(new AppError("ERR_ABORTED", "the check was stopped")));
    signal.addEventListener("abort", onAbort, { once: true });
    worker.once("message", (message: unknown) =>
      end(() => {
        try {
          const fields = new Fields(message, "check result", "ERR_INTERNAL");
          if (fields.has("code")) throw checkFailure(fields);
          resolve(parse(fields));
        } catch (err) {
          reject(err instanceof Error ? err : new Error(String(err)));
        }
      }),
    );
    worker.once("error", (cause) => end(() => reject(brokenCheck(cause))));
    worker.once("exit", () =>
      end(() => reject(new AppError("ERR_INTERNAL", "the check of the pair ended silently"))),
    );
    if (signal.aborted) onAbort();
  });
}

function parseVerified(fields: Fields): VerifiedPair {
  return {
    id: fields.string("id", 64),
    headSha256: fields.string("headSha256", 64),
    createdAt: fields.int("createdAt", 0, Number.MAX_SAFE_INTEGER),
    isSigned: fields.boolean("isSigned"),
  };
}
