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
  const reads = new InterruptibleReads(request, cutOff);
  let position = 0;
  try {
    for (;;) {
      const chunk = await reads.next();
      if (chunk === undefined) break;
      const wanted = chunk.subarray(Math.max(0, skip - position), Math.max(0, end - position));
      position += chunk.length;
      if (wanted.length > 0) await take(wanted);
    }
  } finally {
    reads.end();
  }
  if (position < end) throw new AppError("ERR_ABORTED", "the body ended early");
}

/**
 * Reads that a cut ends: a connection may be silent for a long time. Not by `Promise.race`, which would keep every chunk
 * until the end, nor by watching the signal anew for each chunk, which costs more than the chunk.
 */
class InterruptibleReads {
  readonly #request: Pick<BitsRequest, "read">;
  readonly #cutOff: AbortSignal;
  #reject: ((err: Error) => void) | undefined;

  constructor(request: Pick<BitsRequest, "read">, cutOff: AbortSignal) {
    this.#request = request;
    this.#cutOff = cutOff;
    cutOff.addEventListener("abort", this.#onCut);
  }

  /** @throws {AppError} ERR_ABORTED after the cut, and whatever reading throws */
  next(): Promise<Buffer | undefined> {
    if (this.#cutOff.aborted) return Promise.reject(interrupted());
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#request.read().then(resolve, reject);
    });
  }

  end(): void {
    this.#cutOff.removeEventListener("abort", this.#onCut);
  }

  readonly #onCut = (): void => this.#reject?.(interrupted());
}

function interrupted(): AppError {
  return new AppError("ERR_ABORTED", "the client went on by another connection");
}
