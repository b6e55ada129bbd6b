import { deriveSwarmKeys } from "@ckmesh/image";
import type { PeerLink } from "@ckmesh/net";
import type { ClientContext } from "../client-context.js";
import type { SwarmFiles } from "../rows/swarm-files.js";
import type { VersionSwarm, VersionSwarmOptions } from "../version/version-swarm.js";

/** What all swarms of this client have in common: who it is among peers, and its clock. */
export function swarmBasics({ peers, clock, random }: ClientContext) {
  return {
    peerId: peers.identity.peerIdHex,
    peerClass: peers.peerClass,
    peerPort: peers.port,
    allowLoopback: peers.allowLoopback,
    identity: peers.identity,
    onPeerLinked: peers.remember,
    clock,
    random,
  };
}

/** How the swarm of these rows is entered: under keys of its own. */
export function joinSwarm(
  { peers }: ClientContext,
  files: SwarmFiles,
): NonNullable<VersionSwarmOptions["join"]> {
  const { signed, table } = files;
  return (onPeer) =>
    peers.transport.addSwarm({
      versionId: signed.id,
      ...deriveSwarmKeys(signed.head.secret, signed.id),
      layout: {
        rows: table.layout.rows,
        rowsLength: (first, length) => table.rowsIn(first, length),
      },
      onPeer: (link: PeerLink) => {
        peers.met(link);
        onPeer(link);
      },
    });
}

/** Enters it in the directory, so that peers are found. @returns removes it again */
export function listSwarm({ peers }: ClientContext, files: SwarmFiles, swarm: VersionSwarm): () => void {
  const { signed, table } = files;
  return peers.directory.add({
    swarm: deriveSwarmKeys(signed.head.secret, signed.id).swarm,
    have: () => ({ have: files.have.count, rows: table.layout.rows }),
    step: (event) => {
      swarm.step(event);
    },
  });
}
