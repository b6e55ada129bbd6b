import { once } from "node:events";
import { parentPort } from "node:worker_threads";
import { describeError, isAppError } from "@ckmesh/core";
import { FrameTable, PAGE_BYTES } from "@ckmesh/image";
import { lowerThreadPriority } from "./background.js";
import { DeltaWork } from "./delta/delta-work.js";
import { rebuildPages } from "./disk/rebuild-pages.js";
import { storeError } from "./files/store-error.js";
import { HostFrameMaker } from "./host/host-frame-maker.js";
import { PAGES_PER_TASK, type WorkerReply, type WorkerRequest, type WorkerSetup } from "./image-tasks.js";
import { createCodec, type FrameCodec } from "./pack/codec.js";
import { FrameDecoder } from "./pack/frame-decoder.js";
import { checkFrames, FrameReader, hashFrames } from "./pack/frame-reader.js";
import { packFrames } from "./pack/pack-frames.js";
import { repackFrames } from "./pack/repack-frames.js";
import { scanSectors } from "./pack/scan-sectors.js";

// One thread of an ImageWorkers pool: first what it works on, then one request at a time, one reply to each.
if (parentPort === null) throw new Error("unreachable: not a thread");
const setup: WorkerSetup = (await once(parentPort, "message"))[0];
if (setup.isBackground === true) lowerThreadPriority();
const deltas = new DeltaWork(setup);
/** By level. */
const repackers = new Map<number, FrameCodec>();
let codec: FrameCodec | undefined;
let reader: FrameReader | undefined;
let pages: Uint8Array | undefined;
let hostFrames: HostFrameMaker | undefined;

async function frameReader(): Promise<FrameReader> {
  if (setup.pack === undefined) throw new Error("unreachable: no pack to read");
  reader ??= new FrameReader(setup.pack, await FrameDecoder.create());
  return reader;
}

async function perform(request: WorkerRequest): Promise<unknown> {
  switch (request.name) {
    case "scan":
      scanSectors(setup, request.task);
      return null;
    case "pack":
      codec ??= createCodec(setup.level);
      return packFrames(codec, request.task);
    case "check":
      await checkFrames(await frameReader(), request.task);
      return null;
    case "hash":
      return await hashFrames(await frameReader(), request.task);
    case "rebuild": {
      const disk = setup.pack?.head.disk;
      if (disk === undefined) throw new Error("unreachable: no disk to rebuild");
      pages ??= Buffer.allocUnsafeSlow(PAGES_PER_TASK * PAGE_BYTES);
      await rebuildPages(await frameReader(), disk, setup.out, pages, request.task);
      return null;
    }
    case "repack": {
      const { disk, pack } = setup;
      if (disk === undefined || pack === undefined) throw new Error("unreachable: no disk to pack again");
      const { level } = request.task;
      const packer = repackers.get(level) ?? createCodec(level);
      repackers.set(level, packer);
      const table = FrameTable.open(pack.frames);
      return repackFrames(table, { disk, fd: pack.fd }, packer, request.task);
    }
    case "fingerprint":
      return await deltas.fingerprint(request.task);
    case "compare":
      return await deltas.compare(request.task);
    case "delta":
      return await deltas.pack(request.task);
    case "apply":
      return await deltas.apply(request.task);
    case "host":
      hostFrames ??= new HostFrameMaker();
      return await hostFrames.make(request.task);
  }
}

async function answer(request: WorkerRequest): Promise<void> {
  let reply: WorkerReply<unknown>;
  try {
    reply = { type: "done", result: await perform(request) };
  } catch (thrown) {
    const err = storeError(thrown, request.name === "rebuild" ? "the rebuilt disk" : "the image");
    reply = isAppError(err)
      ? { type: "failed", code: err.code, message: err.message, details: err.details }
      : { type: "failed", code: "ERR_INTERNAL", message: describeError(err), details: {} };
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(reply);
}

parentPort?.on("message", (request: WorkerRequest) => void answer(request));
