import { Worker } from "node:worker_threads";
import { AppError, ERROR_CODES, type Fields } from "@ckmesh/core";

/** Heap of a check; the buffers of an index are outside of it. */
const MAX_HEAP_MIB = 128;

/** Code for a thread or a process, from dist: Node loads no TypeScript there. @param script below `dist` */
export function workerScript(script: string): URL {
  return new URL(`../dist/${script}`, import.meta.url);
}

/** A thread for a check. @param script below `dist` */
export function startCheckWorker(script: string, workerData: object): Worker {
  return new Worker(workerScript(script), {
    workerData,
    // Not the conditions or loaders of a development run: the built worker imports built packages.
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    stdout: true,
    stderr: true,
  });
}

/** What a check failed with, as its thread told it. */
export function checkFailure(fields: Fields): AppError {
  const text = fields.string("message", 100_000);
  const told = fields.string("code", 100);
  const code = ERROR_CODES.find((known) => known === told);
  if (code !== undefined) return new AppError(code, text);
  return new AppError(told === "ENOENT" ? "ERR_FILE_NOT_FOUND" : "ERR_FILE_DENIED", text);
}

/** Why a check did not come to its end: only what takes too much memory is the files' fault. */
export function brokenCheck(cause: Error): AppError {
  const isTooLarge = "code" in cause && cause.code === "ERR_WORKER_OUT_OF_MEMORY";
  return isTooLarge
    ? new AppError("ERR_INDEX_INVALID", "the index takes more memory than a check may have", { cause })
    : new AppError("ERR_INTERNAL", "the check could not run", { cause });
}
