import { parentPort, workerData } from "node:worker_threads";
import { describeError, isAppError } from "@ckmesh/core";
import { storeError } from "./files/store-error.js";
import type { HostPace, HostReply, HostRequest } from "./host/host-messages.js";
import { HostThread } from "./host/host-thread.js";

// The one thread of a HostIndex: answers each request when it is done, in any order.
const setup: { readonly folder: string; readonly isPaced: boolean } = workerData;
const opened = HostThread.open(
  setup.folder,
  setup.isPaced ? (bytes) => send({ type: "pace", bytes }) : undefined,
);
opened.catch(() => {}); // each request fails with it
let scanning: Promise<unknown> = Promise.resolve();

async function perform(request: HostRequest): Promise<unknown> {
  const thread = await opened;
  switch (request.name) {
    case "state":
      return thread.state;
    case "scan": {
      const scan = thread.scan(request.task);
      scanning = scan.catch(() => {}); // its request fails with it
      return await scan;
    }
    case "search":
      return await thread.search(request.task);
    case "admitted":
      thread.admitted();
      return null;
    case "close":
      thread.stop();
      await scanning;
      await thread.close();
      return null;
  }
}

async function answer(request: HostRequest): Promise<void> {
  const { call } = request;
  let reply: HostReply<unknown>;
  try {
    reply = { call, type: "done", result: await perform(request) };
  } catch (thrown) {
    const err = storeError(thrown, setup.folder);
    const code = isAppError(err) ? err.code : "ERR_INTERNAL";
    reply = { call, type: "failed", code, message: describeError(err) };
  }
  send(reply);
}

function send(message: HostReply<unknown> | HostPace): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(message);
}

parentPort?.on("message", (request: HostRequest) => void answer(request));
