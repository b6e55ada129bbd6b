import type { PeerClass, PeerMessage } from "@ckmesh/wire";

/** What happens on a link after `start`. Calls come one at a time, never from within a call on the link. */
export interface PeerLinkHandler {
  /**
   * A checked message of the peer. A `piece` was asked for and has the asked length; its bytes are
   * the handler's, which may give them back to `rowBlocks`, and are not hashed yet. After a `cancel` nothing is owed: the link has rejected that request. A `request` that
   * met a choke comes back as `reject`.
   */
  message(message: PeerMessage): void;
  /** Once, last. Without an error when either side hung up in peace. */
  closed(err?: Error): void;
  /** The pieces given to `send` have left, or nearly so: it is time for the next ones. */
  drained(): void;
}

/** A proven connection to another client of the same version. */
export interface PeerLink {
  /** Hex of 32 bytes: SHA-256 of `key`. */
  readonly peerId: string;
  /** Raw Ed25519 public key, proven over this connection. */
  readonly key: Uint8Array;
  /** IP literal of the other end. */
  readonly address: string;
  /** Where the peer says it listens; 0 when nobody can connect to it. */
  readonly port: number;
  readonly inbound: boolean;
  readonly peerClass: PeerClass;
  /** Smallest of three round trips, ms. */
  readonly rttMs: number;
  /** Bytes given to `send` that have not left yet. */
  readonly queuedBytes: number;
  /** Messages that came before are delivered now. */
  start(handler: PeerLinkHandler): void;
  /**
   * Sends at once, but pieces wait behind everything else. A piece nobody waits for any more is dropped. Bytes
   * of a piece belong to the link, which gives them back to `rowBlocks` once they have left.
   */
  send(message: PeerMessage): void;
  /** Stops and resumes reading from the peer: back-pressure for whoever stores the pieces. */
  pause(): void;
  resume(): void;
  close(reason?: string): void;
}
