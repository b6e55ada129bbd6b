import { AppError } from "@ckmesh/core";

/**
 * Admits at most `limit` requests at a time; after a failure only one, until data flows again
 * (site swarm rule 14: one connection after an error).
 */
export class ConnectionGate {
  readonly #limit: number;
  #busy = 0;
  #troubled = false;
  readonly #waiting: { admit(): void; readonly give: (err: AppError) => void }[] = [];
  #closed = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Waits for a place; the caller must `leave` once for each `enter` that came back.
   * @throws {AppError} ERR_ABORTED when `signal` fires or the gate is closed first
   */
  async enter(signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw new AppError("ERR_ABORTED", "the connection to the origin was closed");
    if (signal?.aborted === true) throw new AppError("ERR_ABORTED", "request aborted");
    if (this.#waiting.length === 0 && this.#busy < this.#places) {
      this.#busy += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const entry = {
        admit: (): void => {
          signal?.removeEventListener("abort", abort);
          resolve();
        },
        give: (err: AppError): void => {
          signal?.removeEventListener("abort", abort);
          reject(err);
        },
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(new AppError("ERR_ABORTED", "request aborted"));
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(entry);
    });
  }

  leave(): void {
    this.#busy -= 1;
    this.#admit();
  }

  /** The origin failed: one request at a time from now on. */
  trouble(): void {
    this.#troubled = true;
  }

  /** The origin answers again. */
  flowing(): void {
    if (!this.#troubled) return;
    this.#troubled = false;
    this.#admit();
  }

  /** Refuses all who wait and all who come. */
  close(): void {
    this.#closed = true;
    for (const entry of this.#waiting.splice(0)) {
      entry.give(new AppError("ERR_ABORTED", "the connection to the origin was closed"));
    }
  }

  get #places(): number {
    return this.#troubled ? 1 : this.#limit;
  }

  #admit(): void {
    while (this.#busy < this.#places) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      this.#busy += 1;
      entry.admit();
    }
  }
}
