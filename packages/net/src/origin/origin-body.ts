import type { Readable } from "node:stream";
import { AppError, type ByteRange, type Clock, rangeLength } from "@ckmesh/core";
import type { AnswerHead } from "./origin-error.js";

export type OriginBody = Readable;

/** Hears of every part of a body as it arrives. */
export type BodyMeter = (bytes: number) => void;

/** Who takes a range. */
export interface RangeTaker extends ByteRange {
  readonly signal?: AbortSignal;
  onData(bytes: Uint8Array, offset: number): void | Promise<void>;
  onSkipped?(count: number): void;
}

/** Carries what `onData` threw past the translation of the origin's own failures. */
export class ConsumerFailure extends Error {}

/**
 * Reads at most `limit` bytes; `isExact`: more than that is an error, else the rest is dropped.
 * @throws {AppError} ERR_ORIGIN_INVALID
 */
export async function collectBody(
  body: OriginBody,
  limit: number,
  isExact: boolean,
  what: string,
  meter: BodyMeter,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of chunksOf(body)) {
    meter(part.byteLength);
    length += part.byteLength;
    if (length > limit && isExact) throw tooLong(what, limit);
    parts.push(part);
    if (length >= limit && !isExact) break;
  }
  return Buffer.concat(parts).subarray(0, limit);
}

/**
 * Hands on the asked bytes of a body whose first byte lies at `at` of the file; `isExact`: it holds nothing else.
 * @throws {AppError} ERR_ORIGIN_INVALID, ERR_ABORTED
 * @throws {ConsumerFailure} around what `onData` threw
 */
export async function streamBody(
  body: OriginBody,
  at: number,
  taker: RangeTaker,
  isExact: boolean,
  what: string,
  meter: BodyMeter,
): Promise<void> {
  const end = taker.last + 1;
  let offset = at;
  for await (const part of chunksOf(body)) {
    meter(part.byteLength);
    const from = Math.max(offset, taker.first);
    const to = Math.min(offset + part.byteLength, end);
    if (isExact && offset + part.byteLength > end) throw tooLong(what, rangeLength(taker));
    if (from < to) {
      try {
        const given = taker.onData(part.subarray(from - offset, to - offset), from);
        if (given !== undefined) await given;
      } catch (cause) {
        throw new ConsumerFailure("onData failed", { cause });
      }
    }
    const skipped = part.byteLength - Math.max(0, to - from);
    if (skipped > 0) taker.onSkipped?.(skipped);
    offset += part.byteLength;
    if (!isExact && offset >= end) return;
    if (taker.signal?.aborted === true) throw new AppError("ERR_ABORTED", `${what} aborted`);
  }
  if (offset < end) throw truncated(what, Math.max(0, offset - taker.first), end - Math.max(at, taker.first));
}

/** Bytes of an error page that are read to keep its connection. */
const MAX_ERROR_PAGE_BYTES = 64 * 1024;
/** A page takes no longer, ms: an origin that sends a byte now and then would hold a request for ever. */
const ERROR_PAGE_MS = 15_000;

/**
 * The beginning of an error page, as text, for those who look for a word in it; a page that breaks off is as good as
 * its beginning. The rest is read too, so that the connection stays, unless it is long or late.
 */
export async function readErrorPage(body: OriginBody, clock: Clock): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const cancel = clock.after(ERROR_PAGE_MS, () => body.destroy());
  try {
    for await (const part of chunksOf(body)) {
      if (length < MAX_REASON_BYTES) parts.push(part);
      length += part.byteLength;
      if (length > MAX_ERROR_PAGE_BYTES) break;
    }
  } catch {
    // The status says it all.
  } finally {
    cancel();
  }
  return Buffer.concat(parts).toString("latin1", 0, MAX_REASON_BYTES);
}

/** Of an error page, what is kept of it. */
const MAX_REASON_BYTES = 8192;

/** Body parts as bytes; leaving the loop early destroys the body and with it the connection. */
async function* chunksOf(body: OriginBody): AsyncGenerator<Uint8Array> {
  for await (const part of body) {
    if (!(part instanceof Uint8Array)) throw new Error("unreachable: body part is no bytes");
    yield part;
  }
}

export function wrongRange(what: string, head: AnswerHead): AppError {
  const range = head.header("content-range")?.slice(0, 80) ?? "no Content-Range";
  return new AppError(
    "ERR_ORIGIN_INVALID",
    `the origin answered ${what} with another range than asked for (status ${head.status}, ${range})`,
    { details: { status: head.status } },
  );
}

export function truncated(what: string, received: number, wanted: number): AppError {
  return new AppError("ERR_ORIGIN_INVALID", `the origin sent ${received} of ${wanted} bytes of ${what}`, {
    details: { received, wanted },
  });
}

export function tooLong(what: string, limit: number): AppError {
  return new AppError("ERR_ORIGIN_INVALID", `the origin sent more than the ${limit} bytes asked of ${what}`);
}
