import { Worker } from "node:worker_threads";
import { AppError, ERROR_CODES, Fields } from "@ckmesh/core";
import type { PairToVerify, VerifiedPair } from "./verify-pair.js";

/** Always from dist: Node cannot load TypeScript in a thread. */
const WORKER_URL = new URL("../dist/verify-worker.js", import.meta.url);
/** Heap of a check; the buffers of an index are outside of it. */
const MAX_HEAP_MIB = 128;

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
  return new Promise((resolve, reject) => {
    const worker = new Worker(WORKER_URL, {
      workerData: { ...pair },
      // Not the conditions or loaders of a development run: the built worker imports built packages.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
      stdout: true,
      stderr: true,
    });
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
          resolve(parseResult(message));
        } catch (err) {
          reject(err instanceof Error ? err : new Error(String(err)));
        }
      }),
    );
    worker.once("error", (cause) =>
      end(() => reject(new AppError("ERR_INDEX_INVALID", "the check of the pair ended early", { cause }))),
    );
    worker.once("exit", () =>
      end(() => reject(new AppError("ERR_INTERNAL", "the check of the pair ended silently"))),
    );
    if (signal.aborted) onAbort();
  });
}

function parseResult(message: unknown): VerifiedPair {
  const fields = new Fields(message, "check result", "ERR_INTERNAL");
  if (fields.has("id")) {
    return {
      id: fields.string("id", 64),
      headSha256: fields.string("headSha256", 64),
      createdAt: fields.int("createdAt", 0, Number.MAX_SAFE_INTEGER),
    };
  }
  const code = ERROR_CODES.find((known) => known === fields.string("code", 100));
  const text = fields.string("message", 100_000);
  if (code !== undefined) throw new AppError(code, text);
  const isGone = fields.string("code", 100) === "ENOENT";
  throw new AppError(isGone ? "ERR_FILE_NOT_FOUND" : "ERR_FILE_DENIED", text);
}
