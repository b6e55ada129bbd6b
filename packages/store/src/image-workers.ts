import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { AppError, ERROR_CODES } from "@ckmesh/core";
import type { ImageTaskName, ImageTasks, WorkerReply, WorkerSetup } from "./image-tasks.js";

/** Threads by default: each takes 25 to 40 MB. */
const MAX_THREADS = 4;
/**
 * A small young generation, in MB: what the codec returns is freed when its handles are collected, and with
 * V8's default that is so rare that each thread held 100 MB (267 MB for unpacking with two; now 151).
 */
const YOUNG_GENERATION_MB = 2;
const OLD_GENERATION_MB = 256;

/** As many as there are cores, at most 4. */
export function defaultThreads(): number {
  return Math.min(MAX_THREADS, availableParallelism());
}

interface Waiting {
  readonly start: (worker: Worker) => void;
  readonly fail: (err: Error) => void;
}

/**
 * Threads that do the hashing, compressing and file work of one pack, verify or unpack. A task goes to
 * whichever is idle; the queue is bounded by the buffers that its callers hand around.
 */
export class ImageWorkers {
  readonly threads: number;
  #setup: WorkerSetup | undefined;
  readonly #all: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #queue: Waiting[] = [];
  readonly #running = new Map<Worker, Waiting>();
  #failure: Error | undefined;

  /** @param setup what the threads work on, unless `setUp` says it later */
  constructor(setup: WorkerSetup | undefined, threads = defaultThreads()) {
    this.#setup = setup;
    this.threads = Math.max(1, threads);
  }

  /** Starts threads for that many tasks that will come at once: the caller has something else to do meanwhile. */
  start(tasks: number): void {
    while (this.#all.length < tasks) {
      const worker = this.#spawn();
      if (worker === undefined) return;
      this.#idle.push(worker);
    }
  }

  /** For threads that were started before it was known what they work on; once, before the first task. */
  setUp(setup: WorkerSetup): void {
    this.#setup = setup;
    for (const worker of this.#all) post(worker, setup);
  }

  /** @throws {AppError} what the task throws; ERR_INTERNAL when its thread dies */
  async run<K extends ImageTaskName>(name: K, task: ImageTasks[K]["task"]): Promise<ImageTasks[K]["result"]> {
    return await new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      if (this.#setup === undefined) throw new Error("unreachable: threads without a setup");
      const start = (worker: Worker): void => {
        worker.once("message", (reply: WorkerReply<ImageTasks[K]["result"]>) => {
          this.#running.delete(worker);
          this.#give(worker);
          if (reply.type === "done") resolve(reply.result);
          else reject(revive(reply));
        });
        post(worker, { name, task });
      };
      this.#queue.push({ start, fail: reject });
      const worker = this.#idle.pop() ?? this.#spawn();
      if (worker !== undefined) this.#give(worker);
    });
  }

  /** Ends the threads at once; tasks that still run are rejected. */
  async close(): Promise<void> {
    this.#fail(new AppError("ERR_ABORTED", "the work was stopped"));
    await Promise.all(this.#all.splice(0).map(async (worker) => await worker.terminate()));
  }

  #give(worker: Worker): void {
    const next = this.#queue.shift();
    if (next === undefined) {
      this.#idle.push(worker);
      return;
    }
    this.#running.set(worker, next);
    next.start(worker);
  }

  /** A further thread; undefined when there are enough. */
  #spawn(): Worker | undefined {
    if (this.#all.length >= this.threads) return undefined;
    // Always from dist: Node cannot load TypeScript in a thread. No execArgv: no loaders, no conditions.
    const url = new URL("../dist/image-worker.js", import.meta.url);
    const worker = new Worker(url, {
      execArgv: [],
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
        maxOldGenerationSizeMb: OLD_GENERATION_MB,
      },
    });
    worker.once("error", (err) => {
      this.#fail(
        new AppError("ERR_INTERNAL", "a worker thread died; is the project built (pnpm build)?", {
          cause: err,
        }),
      );
    });
    worker.once("exit", () => this.#fail(new AppError("ERR_INTERNAL", "a worker thread ended")));
    if (this.#setup !== undefined) post(worker, this.#setup);
    this.#all.push(worker);
    return worker;
  }

  #fail(err: Error): void {
    this.#failure ??= err;
    for (const { fail } of this.#queue.splice(0)) fail(this.#failure);
    for (const { fail } of this.#running.values()) fail(this.#failure);
    this.#running.clear();
  }
}

function post(worker: Worker, message: unknown): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  worker.postMessage(message);
}

function revive(reply: Extract<WorkerReply<never>, { type: "failed" }>): AppError {
  const code = ERROR_CODES.find((known) => known === reply.code) ?? "ERR_INTERNAL";
  return new AppError(code, reply.message, { details: reply.details });
}
