import { AppError } from "@ckmesh/core";
import type { BitsRequest } from "./bits-request.js";

export interface BodyPart {
  /** Bytes to throw away first. */
  readonly skip: number;
  /** Bytes to take after them. */
  readonly bytes: number;
}

/**
 * Reads a body to its end and hands over the wanted part of it, as it comes.
 * @throws {AppError} ERR_ABORTED when the connection breaks, ends early, or is cut off; ERR_TIMEOUT when it is too slow
 * @throws whatever `take` throws
 */
export async function receiveBody(
  request: Pick<BitsRequest, "read">,
  { skip, bytes }: BodyPart,
  cutOff: AbortSignal,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  const end = skip + bytes;
  let position = 0;
  for (;;) {
    const chunk = await orCutOff(request.read(), cutOff);
    if (chunk === undefined) break;
    const wanted = chunk.subarray(Math.max(0, skip - position), Math.max(0, end - position));
    position += chunk.length;
    if (wanted.length > 0) await take(wanted);
  }
  if (position < end) throw new AppError("ERR_ABORTED", "the body ended early");
}

/** What `reading` gives, but no later than the cut: a connection may be silent for a long time. */
async function orCutOff<T>(reading: Promise<T>, cutOff: AbortSignal): Promise<T> {
  const watching = new AbortController();
  const cut = new Promise<never>((_, reject) => {
    const onCut = (): void => reject(new AppError("ERR_ABORTED", "the client went on by another connection"));
    if (cutOff.aborted) onCut();
    cutOff.addEventListener("abort", onCut, { signal: watching.signal });
  });
  try {
    return await Promise.race([reading, cut]);
  } finally {
    watching.abort();
  }
}
