import { AppError } from "@ckmesh/core";
import type { Background } from "./background.js";

/** How far a long piece of work is. Bytes are those of the phase. */
export interface Progress {
  readonly phase:
    | "convert"
    | "previous"
    | "pack"
    | "compress"
    | "index"
    | "check"
    | "rebuild"
    | "references"
    | "delta"
    | "apply"
    | "copy";
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** What every long piece of work takes. */
export interface WorkOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Worker threads; default: one per processor, at most 4; packing more than 20 GB, 2. */
  readonly threads?: number;
  /** Nobody waits for it. */
  readonly background?: Background | undefined;
}

/** @throws {AppError} ERR_ABORTED */
export function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new AppError("ERR_ABORTED", "the work was stopped before its end");
}
