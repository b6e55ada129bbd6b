import type { Socket } from "node:net";
import { AppError, type Clock } from "@ckmesh/core";

/** The bytes that come by a connection, each read when it is asked for: what is not asked for stays with the sender. */
export class ConnectionSource {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #held: Buffer;
  #wake: (() => void) | undefined;
  #hasEnded = false;
  #isStopped = false;

  /** @param held bytes that were read before */
  constructor(socket: Socket, clock: Clock, held: Buffer) {
    this.#socket = socket;
    this.#clock = clock;
    this.#held = held;
    socket.on("readable", this.#onReadable);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onReadable);
    socket.on("error", ignore); // "close" follows.
  }

  /**
   * The next bytes; undefined when the other side sends no more, or after `stop`.
   * @param limitMs how long to wait for them
   * @throws {AppError} ERR_TIMEOUT; ERR_ABORTED when the connection is gone
   */
  async next(limitMs: number): Promise<Buffer | undefined> {
    const end = this.#clock.now() + limitMs;
    for (;;) {
      const held = this.#held;
      if (held.length > 0) {
        this.#held = NOTHING;
        return held;
      }
      if (this.#socket.destroyed) throw new AppError("ERR_ABORTED", "the connection is gone");
      const chunk: Buffer | null = this.#socket.read();
      if (chunk !== null) return chunk;
      if (this.#hasEnded || this.#isStopped) return undefined;
      const left = end - this.#clock.now();
      if (left <= 0) throw new AppError("ERR_TIMEOUT", "nothing came in time");
      await this.#wait(left);
    }
  }

  /** What was read too much comes again. */
  putBack(bytes: Buffer): void {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([bytes, this.#held]);
  }

  /** Whoever waits for the next bytes is told that none come. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  /** Leaves the socket to somebody else. @returns what was read and not taken */
  detach(): Buffer {
    this.#socket.off("readable", this.#onReadable);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("close", this.#onReadable);
    this.#socket.off("error", ignore);
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }

  async #wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }

  readonly #onReadable = (): void => {
    this.#wake?.();
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    this.#wake?.();
  };
}

const NOTHING = Buffer.alloc(0);
const ignore = (): void => {};
