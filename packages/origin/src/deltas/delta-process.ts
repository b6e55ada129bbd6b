import { type ChildProcess, fork } from "node:child_process";
import { AppError, Fields } from "@ckmesh/core";
import { checkFailure, workerScript } from "../check-thread.js";

/**
 * Heap of the process in MiB; its threads have limits of their own, and what they hold does not grow with the
 * size of an image but for the tables of frames.
 */
const MAX_HEAP_MIB = 256;
/** Of what a process that breaks says at its end. */
const MAX_LAST_WORDS = 2000;

/** What a process of its own does with deltas. */
export interface DeltaJobs {
  /** Answers `id`. */
  readonly verify: { readonly indexPath: string };
  /** Answers `packPath`, the index beside it; nothing when the delta would save nothing. */
  readonly make: {
    readonly basePath: string;
    readonly targetPath: string;
    readonly outDir: string;
    readonly signKeyFile?: string;
  };
}

/**
 * Does one piece of work in a process of low priority, whose memory goes with it: requests come first.
 * @returns what `delta-worker.ts` answers
 * @throws {AppError} as the work does; ERR_ABORTED; ERR_INTERNAL when the process dies
 */
export function runDeltaJob<K extends keyof DeltaJobs>(
  type: K,
  job: DeltaJobs[K],
  signal: AbortSignal,
): Promise<Fields> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(stopped());
      return;
    }
    const child = fork(workerScript("deltas/delta-worker.js"), {
      // Not the conditions or loaders of a development run: the built worker imports built packages.
      execArgv: [`--max-old-space-size=${MAX_HEAP_MIB}`],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let answer: (() => void) | undefined;
    const lastWords = keepLastWords(child);
    const onAbort = (): void => {
      answer = () => reject(stopped());
      child.kill("SIGKILL");
    };
    signal.addEventListener("abort", onAbort, { once: true });
    child.once("message", (message: unknown) => {
      answer ??= () => {
        const fields = new Fields(message, "answer of the delta process", "ERR_INTERNAL");
        if (fields.has("code")) throw checkFailure(fields);
        resolve(fields);
      };
    });
    child.once("error", (cause) => {
      answer ??= () => reject(new AppError("ERR_INTERNAL", "the delta process could not start", { cause }));
      if (child.pid === undefined) end();
    });
    child.once("close", (code, killedBy) => {
      answer ??= () =>
        reject(
          new AppError(
            "ERR_INTERNAL",
            `the delta process ended with ${killedBy ?? code} before its work was done; it said: ${lastWords()}`,
          ),
        );
      end();
    });
    // Only now: what the process held is free again, and nothing of it writes any more.
    const end = (): void => {
      signal.removeEventListener("abort", onAbort);
      try {
        answer?.();
      } catch (err) {
        reject(err instanceof Error ? err : new Error(String(err)));
      }
    };
    child.send({ type, ...job }, (err) => {
      if (err !== null) child.kill("SIGKILL"); // It died at once: `close` says how.
    });
  });
}

function keepLastWords({ stderr }: ChildProcess): () => string {
  let words = "";
  stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MAX_LAST_WORDS);
  });
  return () => (words === "" ? "nothing" : words.trim());
}

function stopped(): AppError {
  return new AppError("ERR_ABORTED", "the work on a delta was stopped");
}
