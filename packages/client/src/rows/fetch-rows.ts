import { AppError, describeError, isAppError, type Logger, MIB, type Run } from "@ckmesh/core";
import type { FetchResult } from "@ckmesh/swarm";
import type { Waste } from "../version/waste.js";
import type { OriginRows } from "./origin-rows.js";
import type { RateMeter } from "./rate-meter.js";
import { RowAssembler, type RowBytes } from "./row-assembler.js";
import { RowWriter } from "./row-writer.js";
import type { SwarmFiles } from "./swarm-files.js";

/** Bytes hashed but not yet on the disk at which the connection waits. */
const MAX_UNWRITTEN_BYTES = 2 * MIB;

export interface FetchRowsOptions {
  readonly files: SwarmFiles;
  readonly rows: Pick<OriginRows, "fetch">;
  readonly run: Run;
  /** That the run is of. */
  readonly span: number;
  readonly waste: Waste;
  readonly meter: RateMeter;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Rows that are on the disk now. */
  readonly onStored: (runs: readonly Run[]) => void;
}

export interface FetchRowsResult {
  readonly result: FetchResult;
  readonly error?: AppError;
  readonly retryMs?: number;
}

/**
 * Fetches a run of rows at the origin: each row is hashed as its last byte arrives, written, and reported
 * while the rest still streams. Whole rows survive whatever ends the transfer.
 */
export async function fetchRows(options: FetchRowsOptions): Promise<FetchRowsResult> {
  const { files, run, waste, signal } = options;
  const assembler = new RowAssembler(files.table, run);
  const writer = new RowWriter(files, "origin", options.onStored);
  let failure: unknown;
  try {
    const take = (bytes: Uint8Array): Promise<void> | undefined => {
      options.meter.add(bytes.byteLength);
      const { good, bad, unknown } = assembler.push(bytes);
      for (const part of good) addFresh(part, files, writer, waste);
      for (const part of unknown) waste.add("retried", part.bytes.byteLength, "origin");
      for (const part of bad) waste.add("rejected", part.bytes.byteLength, "origin");
      if (bad.length > 0) throw wrongContent(files, bad);
      return writer.unwrittenBytes > MAX_UNWRITTEN_BYTES ? writer.flush() : undefined;
    };
    await options.rows.fetch({
      run,
      span: options.span,
      signal,
      onData: take,
      onSkipped: (count) => {
        waste.add("retried", count, "origin");
      },
    });
  } catch (err) {
    failure = err;
  }
  waste.add("retried", assembler.restBytes, "origin");
  try {
    await writer.flush();
  } catch (err) {
    failure = err; // a full disk says more than the abort that followed
  }
  return resultOf(failure, options);
}

/** Rows that came from elsewhere meanwhile are duplicates. */
function addFresh(part: RowBytes, files: SwarmFiles, writer: RowWriter, waste: Waste): void {
  for (const fresh of freshParts(part, files)) {
    if (fresh.isHeld) waste.add("duplicate", fresh.bytes.byteLength, "origin");
    else writer.add(fresh);
  }
}

/** Cuts rows of one verdict into those that are held and those that are not. */
export function freshParts(part: RowBytes, files: SwarmFiles): readonly (RowBytes & { isHeld: boolean })[] {
  const { first, count } = part.run;
  const out: (RowBytes & { isHeld: boolean })[] = [];
  let at = 0;
  for (let row = first; row < first + count; ) {
    const isHeld = files.have.has(row);
    const end = Math.min(first + count, files.have.next(row, !isHeld));
    const run = { first: row, count: end - row };
    const length = files.table.runLength(run);
    out.push({ run, bytes: part.bytes.subarray(at, at + length), isHeld });
    at += length;
    row = end;
  }
  return out;
}

function wrongContent(files: SwarmFiles, bad: readonly RowBytes[]): AppError {
  const { name, version } = files.signed.head;
  return new AppError(
    "ERR_FRAME_HASH_MISMATCH",
    `the origin's files of ${name} version ${version} are not what the signed head says (row ${bad[0]?.run.first ?? 0}): publish the pair again`,
  );
}

function resultOf(failure: unknown, options: FetchRowsOptions): FetchRowsResult {
  if (failure === undefined) return { result: "done" };
  if (options.signal.aborted && !isAppError(failure, "ERR_STORE_FULL")) return { result: "aborted" };
  const error = isAppError(failure)
    ? failure
    : new AppError("ERR_INTERNAL", describeError(failure), { cause: failure });
  const { retryMs } = error.details;
  return {
    result: error.code === "ERR_FRAME_HASH_MISMATCH" ? "bad" : "failed",
    error,
    ...(typeof retryMs === "number" && { retryMs }),
  };
}
