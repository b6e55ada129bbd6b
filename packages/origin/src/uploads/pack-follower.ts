/* oxlint-disable unicorn/require-post-message-target-origin -- that is for windows; this is a thread */
import { AppError, Fields } from "@ckmesh/core";
import { brokenCheck, checkFailure, startCheckWorker } from "../check-thread.js";
import type { Filled, FrameSource } from "./pack-follow.js";

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (err: Error) => void;
}

const NOTHING = [0, -1] as const;

/**
 * A thread that follows the file of a pack while it comes: checks each frame, and copies those that are here already.
 * It reads what lies in the file, so it also catches up with what came before it was there.
 */
export class PackFollower {
  /** Resolves when the thread has its files open, and they may get other names; or when it has failed. */
  readonly opened: Promise<void>;
  readonly #worker;
  #isOpened: () => void = () => {};
  readonly #hasSources: boolean;
  /** What was told last. */
  #missing: readonly [number, number] = NOTHING;
  #fault: Error | undefined;
  #isVerified = false;
  #fill: Waiter<Filled> | undefined;
  #finish: Waiter<void> | undefined;

  constructor(paths: {
    readonly indexPath: string;
    readonly packPath: string;
    readonly sources: readonly FrameSource[];
    readonly received: number;
  }) {
    this.opened = new Promise((resolve) => {
      this.#isOpened = resolve;
    });
    this.#hasSources = paths.sources.length > 0;
    this.#worker = startCheckWorker("uploads/upload-worker.js", paths);
    this.#worker.on("message", (message: unknown) => {
      try {
        this.#hear(new Fields(message, "check result", "ERR_INTERNAL"));
      } catch (err) {
        this.#fail(err instanceof Error ? err : new Error(String(err)));
      }
    });
    this.#worker.once("error", (cause) => this.#fail(brokenCheck(cause)));
    this.#worker.once("exit", () =>
      this.#fail(new AppError("ERR_INTERNAL", "the check of the pack ended silently")),
    );
  }

  /** The first `received` bytes are in the file. */
  advance(received: number): void {
    this.#worker.postMessage({ received });
  }

  /** Copies what is known behind the first `received` bytes, for `limitMs` at most; never rejects. */
  async fill(received: number, total: number, limitMs: number): Promise<Filled> {
    if (this.#fault !== undefined || !this.#hasSources) return { received };
    const [first, last] = this.#missing;
    // Asking costs as long as a step of the check.
    if (received >= first && received <= last) return { received, missing: [received, last] };
    try {
      const filled = await new Promise<Filled>((resolve, reject) => {
        this.#fill = { resolve, reject };
        this.#worker.postMessage({ received, total, fillMs: limitMs });
      });
      this.#missing = filled.missing ?? NOTHING;
      return filled;
    } catch {
      return { received }; // The fault is told when the pack is complete.
    }
  }

  /**
   * Resolves when the whole file is proven to be the pack of the index.
   * @throws {AppError} ERR_PACK_INVALID, ERR_INDEX_INVALID; ERR_INTERNAL when the check could not run; ERR_ABORTED
   *   after `close`; ERR_FILE_DENIED and others of the file system
   */
  async finish(total: number): Promise<void> {
    if (this.#isVerified) return;
    if (this.#fault !== undefined) throw this.#fault;
    await new Promise<void>((resolve, reject) => {
      this.#finish = { resolve, reject };
      this.#worker.postMessage({ received: total, total });
    });
  }

  close(): void {
    this.#fail(new AppError("ERR_ABORTED", "the check was stopped"));
  }

  #hear(fields: Fields): void {
    if (fields.has("code")) {
      this.#fail(checkFailure(fields));
    } else if (fields.has("opened")) {
      this.#isOpened();
    } else if (fields.has("filled")) {
      const filled = fields.map("filled");
      const received = filled.int("received", 0, Number.MAX_SAFE_INTEGER);
      const [first, last] = filled.has("missing") ? filled.list("missing", 2) : [];
      const missing =
        typeof first === "number" && typeof last === "number" ? ([first, last] as const) : undefined;
      this.#fill?.resolve({ received, ...(missing === undefined ? {} : { missing }) });
      this.#fill = undefined;
    } else {
      this.#isVerified = true;
      this.#finish?.resolve();
      this.#end();
    }
  }

  #fail(err: Error): void {
    if (this.#fault !== undefined || this.#isVerified) return;
    this.#fault = err;
    this.#isOpened();
    this.#fill?.reject(err);
    this.#finish?.reject(err);
    this.#end();
  }

  #end(): void {
    this.#worker.terminate().catch(() => {}); // It is over either way.
  }
}
