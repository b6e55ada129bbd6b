/* oxlint-disable unicorn/require-post-message-target-origin -- that is for windows; this is a thread */
import { parentPort, workerData } from "node:worker_threads";
import { describeError, Fields, isAppError } from "@ckmesh/core";
import { verifyHeadOnly, verifyPair } from "./verify-pair.js";

// One pair per worker: what a hostile file makes it allocate goes with it.
const data = new Fields(workerData, "worker data", "ERR_INTERNAL");
const pair = {
  name: data.string("name", 1000),
  version: data.int("version", 1, Number.MAX_SAFE_INTEGER),
  packPath: data.string("packPath", 65_536),
  indexPath: data.string("indexPath", 65_536),
  publishers: data.list("publishers", 1000).filter((key) => key instanceof Uint8Array),
};
try {
  if (data.has("opaque")) {
    const { indexOpaquePack } = await import("@ckmesh/store");
    const { packPath, indexPath, name, version } = pair;
    const opaque = data.map("opaque");
    const createdAt = opaque.int("createdAt", 0, Number.MAX_SAFE_INTEGER);
    await indexOpaquePack({
      packPath,
      indexPath,
      name,
      version,
      createdAt,
      secret: opaque.bytes("secret", 32),
    });
    parentPort?.postMessage({ ...verifyHeadOnly(pair) });
  } else {
    parentPort?.postMessage({ ...(await verifyPair(pair)) });
  }
} catch (err) {
  const fileCode = err instanceof Error && "code" in err ? String(err.code) : "";
  parentPort?.postMessage({ code: isAppError(err) ? err.code : fileCode, message: describeError(err) });
}
