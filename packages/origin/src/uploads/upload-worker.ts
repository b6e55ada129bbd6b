/* oxlint-disable unicorn/require-post-message-target-origin -- that is for windows; this is a thread */
import { parentPort, workerData } from "node:worker_threads";
import { describeError, Fields, isAppError } from "@ckmesh/core";
import { PackFollow } from "./pack-follow.js";

// Follows one upload. Work is done in small steps, so that what is asked meanwhile is heard between them.
const MAX = Number.MAX_SAFE_INTEGER;
const data = new Fields(workerData, "worker data", "ERR_INTERNAL");

interface Fill {
  readonly received: number;
  readonly total: number;
  readonly limitMs: number;
}

let received = data.int("received", 0, MAX);
let total: number | undefined;
let fill: Fill | undefined;
let isScheduled = false;
let follow: PackFollow | undefined;

function fail(err: unknown): void {
  follow?.close();
  const fileCode = err instanceof Error && "code" in err ? String(err.code) : "";
  parentPort?.postMessage({ code: isAppError(err) ? err.code : fileCode, message: describeError(err) });
  parentPort?.close();
}

function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(() => {
    isScheduled = false;
    try {
      if (follow !== undefined) work(follow);
    } catch (err) {
      fail(err);
    }
  });
}

function work(pack: PackFollow): void {
  if (fill !== undefined) {
    const until = performance.now() + fill.limitMs;
    const filled = pack.fill(fill.received, fill.total, () => performance.now() >= until);
    fill = undefined;
    received = Math.max(received, filled.received);
    parentPort?.postMessage({ filled });
    schedule();
  } else if (pack.step(received)) {
    schedule();
  } else if (total !== undefined) {
    pack.finish(total);
    pack.close();
    parentPort?.postMessage({ verified: true });
    parentPort?.close();
  }
}

try {
  follow = await PackFollow.open({
    indexPath: data.string("indexPath", 65_536),
    packPath: data.string("packPath", 65_536),
    sources: data.list("sources", 255).map((item) => {
      const source = new Fields(item, "source", "ERR_INTERNAL");
      return { indexPath: source.string("indexPath", 65_536), packPath: source.string("packPath", 65_536) };
    }),
  });
  parentPort?.postMessage({ opened: true });
  parentPort?.on("message", (message: unknown) => {
    const fields = new Fields(message, "message", "ERR_INTERNAL");
    received = Math.max(received, fields.int("received", 0, MAX));
    if (fields.has("fillMs")) {
      fill = { received, total: fields.int("total", 0, MAX), limitMs: fields.int("fillMs", 0, MAX) };
    } else if (fields.has("total")) {
      total = fields.int("total", 0, MAX);
    }
    schedule();
  });
  schedule();
} catch (err) {
  fail(err);
}
