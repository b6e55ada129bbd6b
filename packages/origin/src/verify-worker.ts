import { parentPort, workerData } from "node:worker_threads";
import { describeError, Fields, isAppError } from "@ckmesh/core";
import { verifyPair } from "./verify-pair.js";

/* oxlint-disable unicorn/require-post-message-target-origin -- that is for windows; this is a thread */
// One pair per worker: what a hostile file makes it allocate goes with it.
const data = new Fields(workerData, "worker data", "ERR_INTERNAL");
const text = (key: string): string => data.string(key, 65_536);
try {
  const verified = await verifyPair({
    name: text("name"),
    version: data.int("version", 1, Number.MAX_SAFE_INTEGER),
    packPath: text("packPath"),
    indexPath: text("indexPath"),
    publishers: data.list("publishers", 1000).filter((key) => key instanceof Uint8Array),
  });
  parentPort?.postMessage({ ...verified });
} catch (err) {
  const fileCode = err instanceof Error && "code" in err ? String(err.code) : "";
  parentPort?.postMessage({ code: isAppError(err) ? err.code : fileCode, message: describeError(err) });
}
