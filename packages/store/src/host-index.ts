import { Worker } from "node:worker_threads";
import { AppError, ERROR_CODES } from "@ckmesh/core";
import type { IoPacer } from "./files/io-pacer.js";
import type { HostCallName, HostCalls, HostIndexState, HostPace, HostReply } from "./host/host-messages.js";
import type { HostScanResult, HostScanTask } from "./host/host-scan.js";
import type { HostPlaces, HostSearchTask } from "./host/host-search.js";

/** A limit, not a need: typed arrays and the database lie outside of it. */
const OLD_GENERATION_MB = 256;

interface WaitingCall {
  /** `never`: what the thread answers to this call is what the call asked for. */
  resolve(result: never): void;
  reject(err: AppError): void;
}

/**
 * Which 4-KiB blocks lie in which files of the host: a folder with a database of the files and sorted runs of
 * blocks, in the hands of one thread of low priority. All of it can be made again, and all of it is hints.
 */
export class HostIndex {
  readonly #worker: Worker;
  /** Calls that are not answered yet. */
  readonly #waiting = new Map<number, WaitingCall>();
  #calls = 0;
  #failure: AppError | undefined;
  #closing: Promise<void> | undefined;
  readonly #stopped = new AbortController();

  /**
   * @param folder its own; nothing else may lie there, and no other process may have it open
   * @param io what a scan reads passes here; absent: as fast as it goes
   */
  constructor(folder: string, io?: IoPacer) {
    // Always from dist: Node cannot load TypeScript in a thread.
    this.#worker = new Worker(new URL("../dist/host-worker.js", import.meta.url), {
      workerData: { folder, isPaced: io !== undefined },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: OLD_GENERATION_MB },
    });
    if (io !== undefined) this.#answerPace(io);
    this.#worker.on("message", (reply: HostPace | HostReply<never>) => {
      if (reply.type === "pace") return;
      const waiting = this.#waiting.get(reply.call);
      this.#waiting.delete(reply.call);
      if (reply.type === "done") waiting?.resolve(reply.result);
      else waiting?.reject(revive(reply));
    });
    this.#worker.once("error", (cause) => {
      this.#fail(new AppError("ERR_INTERNAL", "the thread of the host index died", { cause }));
    });
    this.#worker.once("exit", () => this.#fail(new AppError("ERR_ABORTED", "the host index is closed")));
  }

  /** @throws {AppError} ERR_STORE_FULL, ERR_INTERNAL */
  async state(): Promise<HostIndexState> {
    return await this.#call("state", null);
  }

  /**
   * Looks through folders; one at a time.
   * @throws {AppError} ERR_STORE_FULL, ERR_CONFIG_INVALID when its folder may not be written; ERR_INTERNAL
   */
  async scan(task: HostScanTask): Promise<HostScanResult> {
    return await this.#call("scan", task);
  }

  /**
   * Frames all of whose sectors seem to lie on the host, also while it scans.
   * @throws {AppError} ERR_STORE_FULL, ERR_STORE_CORRUPT, ERR_INTERNAL
   */
  async search(task: HostSearchTask): Promise<HostPlaces> {
    return await this.#call("search", task);
  }

  /** Ends a scan; what it has found so far stays. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #answerPace(io: IoPacer): void {
    this.#worker.on("message", (message: HostPace | HostReply<unknown>) => {
      if (message.type !== "pace") return;
      io.admit(message.bytes, this.#stopped.signal)
        .then(() => this.#call("admitted", null))
        .catch(() => {}); // the thread is gone, and its scan has failed
    });
  }

  async #close(): Promise<void> {
    this.#stopped.abort();
    try {
      await this.#call("close", null);
    } finally {
      await this.#worker.terminate();
    }
  }

  async #call<K extends HostCallName>(name: K, task: HostCalls[K]["task"]): Promise<HostCalls[K]["result"]> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#calls += 1;
    const call = this.#calls;
    return await new Promise<HostCalls[K]["result"]>((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.#worker.postMessage({ call, name, task });
    });
  }

  #fail(err: AppError): void {
    this.#failure ??= err;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}

function revive({ code, message }: Extract<HostReply<never>, { type: "failed" }>): AppError {
  return new AppError(ERROR_CODES.find((known) => known === code) ?? "ERR_INTERNAL", message);
}
