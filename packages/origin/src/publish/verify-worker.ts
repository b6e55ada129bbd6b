/* oxlint-disable unicorn/require-post-message-target-origin -- that is for windows; this is a thread */
import { parentPort, workerData } from "node:worker_threads";
import { describeError, Fields, isAppError } from "@ckmesh/core";
import { type VerifiedPair, verifyHeadOnly, verifyIndex, verifyPair } from "./verify-pair.js";

// One pair per worker: what a hostile file makes it allocate goes with it.
const data = new Fields(workerData, "worker data", "ERR_INTERNAL");
const indexPath = data.string("indexPath", 65_536);
const publishers = data.list("publishers", 1000).filter((key) => key instanceof Uint8Array);

async function check(): Promise<VerifiedPair> {
  if (!data.has("packPath")) return verifyIndex(indexPath, publishers);
  const pair = {
    name: data.string("name", 1000),
    version: data.int("version", 1, Number.MAX_SAFE_INTEGER),
    packPath: data.string("packPath", 65_536),
    indexPath,
    publishers,
  };
  if (!data.has("opaque")) return verifyPair(pair);
  const { indexOpaquePack } = await import("@ckmesh/store");
  const { packPath, name, version } = pair;
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
  return verifyHeadOnly(pair);
}

try {
  parentPort?.postMessage({ ...(await check()) });
} catch (err) {
  const fileCode = err instanceof Error && "code" in err ? String(err.code) : "";
  parentPort?.postMessage({ code: isAppError(err) ? err.code : fileCode, message: describeError(err) });
}
