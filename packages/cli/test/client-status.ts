import type { ClientStatus, VersionStatus } from "@ckmesh/client";

/** A version that is being fetched, with what a test wants different. */
export function someVersion(changes: Partial<VersionStatus> = {}): VersionStatus {
  return {
    version: 1,
    id: "ab".repeat(32),
    state: "fetching",
    swarming: true,
    haveRows: 5,
    rows: 10,
    needed: 1000,
    bytes: { previous: 0, delta: 0, host: 0, peers: 100, origin: 400 },
    wasted: { rejected: 0, duplicate: 0, retried: 0, origin: 0 },
    rate: { peers: 1.5, origin: 2 },
    peers: 2,
    ...changes,
  };
}

/** A running client that follows one image. */
export function someStatus(...versions: readonly VersionStatus[]): ClientStatus {
  return {
    store: "/store",
    running: true,
    origin: "https://o/MEDVImages",
    site: "north",
    tracker: "connected",
    peerPort: 7650,
    inbound: "seen",
    peerId: "cd".repeat(32),
    nextCheckAt: "2026-01-01T00:00:00.000Z",
    images: [{ name: "Win11", policy: "auto", versions }],
  };
}
