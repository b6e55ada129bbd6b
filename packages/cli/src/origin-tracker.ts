import { randomBytes } from "node:crypto";
import { mkdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "@ckmesh/core";
import { TrackerLink } from "@ckmesh/net";
import type { Origin, OriginConfig } from "@ckmesh/origin";
import { parseListen } from "@ckmesh/runtime";
import { startTracker } from "@ckmesh/tracker";
import { OWNER_ONLY, sharedKeyText, writeNewFile } from "./key-file.js";
import type { ServerDeps } from "./server-deps.js";

/** Where a mounted tracker is reached on the origin's listeners. */
const MOUNT_PATH = "/ckmesh/tracker";
const PEER_ID_BYTES = 32;

/** The fleet key of an origin that has its tracker with it and was given none: made once, kept in its state. */
export async function ownFleetKey(config: OriginConfig): Promise<string> {
  const state = await stateFolder(config);
  const file = join(state, "fleet.key");
  await mkdir(state, { recursive: true, mode: 0o700 });
  await writeNewFile(file, sharedKeyText(), OWNER_ONLY).catch((err: unknown) => {
    // Made at an earlier start.
    if (!isAppError(err, "ERR_USAGE")) throw err;
  });
  return file;
}

/** Where the origin keeps its state. */
async function stateFolder(config: OriginConfig): Promise<string> {
  return config.state ?? `${await realpath(config.virtualDirectory.physicalPath)}.state`;
}

/** Runs a tracker on the listeners of the origin. Returns what closes it. */
export async function mountTracker(
  origin: Origin,
  config: OriginConfig,
  deps: ServerDeps,
): Promise<() => Promise<void>> {
  const listeners = [config.listen, config.tlsListen].filter((text) => text !== undefined);
  const tracker = await startTracker(
    {
      ...(config.fleetKeyFile === undefined ? {} : { fleetKeyFile: config.fleetKeyFile }),
      // Tests and demonstrations on one machine: then loopback is the site.
      allowLoopback: listeners.every((text) => isLoopbackHost(parseListen(text).host)),
      state: await stateFolder(config),
    },
    deps,
  );
  origin.mountUpgrade(MOUNT_PATH, (req, socket, head) => tracker.handleUpgrade(req, socket, head));
  origin.onPublished((published) => tracker.publish(published));
  return async () => tracker.close();
}

/** Tells a tracker elsewhere what is published. Returns what closes the link. */
export async function reportToTracker(
  origin: Origin,
  url: string,
  caFile: string | undefined,
  deps: ServerDeps,
): Promise<() => Promise<void>> {
  const peerId = randomBytes(PEER_ID_BYTES);
  const link = new TrackerLink({
    url,
    peerId,
    peerClass: "wired",
    // An origin takes no connections from peers.
    peerPort: () => 0,
    whereabouts: () => ({ addresses: [], subnets: [] }),
    ticket: async () => origin.issueOriginTicket(peerId),
    ...(caFile === undefined ? {} : { ca: await readFile(caFile) }),
    clock: deps.clock,
    random: deps.random,
    logger: deps.logger,
    handler: {},
  });
  origin.onPublished(({ image, version }) => link.publish(image, version));
  link.start();
  return async () => link.close();
}

function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
