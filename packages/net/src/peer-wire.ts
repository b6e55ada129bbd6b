import type { CkMessage, PeerMessage } from "@ckmesh/wire";

/** The messages of BEP 3 and BEP 6; those of the extension `ck` travel as bytes. */
export type WireMessage = Exclude<PeerMessage, CkMessage>;

export interface PeerWireEvents {
  /** Both handshakes are through and the peer listens to the extension `ck`. */
  readonly ready: () => void;
  readonly message: (message: WireMessage | Extract<PeerMessage, { type: "have" }>) => void;
  /** Payload of a `ck` message: a view. */
  readonly ck: (payload: Uint8Array) => void;
  /** Bytes for the peer, in order. */
  readonly output: (bytes: Uint8Array) => void;
  readonly failed: (err: Error) => void;
}

/**
 * Messages to bytes and back on one link. What comes in was framed and checked before (`WireGuard`); what it
 * emits may come later than the call, in order.
 */
export interface PeerWire {
  readonly isChoking: boolean;
  /** Sends this side's handshake. */
  handshake(infohash: Uint8Array, peerId: Uint8Array): void;
  /** One whole message, prefix included; the first one is the peer's handshake. */
  receive(message: Uint8Array): void;
  /** False when the message was not sent: a piece for no open request, or a request while the peer chokes. */
  send(message: WireMessage): boolean;
  sendCk(payload: Uint8Array): void;
  keepAlive(): void;
  /** No event after this. */
  close(): void;
}
