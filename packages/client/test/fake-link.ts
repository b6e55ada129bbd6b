import type { PeerLink, PeerLinkHandler } from "@ckmesh/net";
import type { PeerMessage } from "@ckmesh/wire";

/** A peer that a test plays: what is sent to it is kept, what it says is given to the handler. */
export class FakeLink implements PeerLink {
  readonly key = new Uint8Array(32);
  readonly address = "127.0.0.1";
  readonly inbound = true;
  readonly peerClass = "wired";
  readonly rttMs = 1;
  readonly peerId: string;
  readonly port: number;
  queuedBytes = 0;
  closedFor: string | undefined;
  readonly sent: PeerMessage[] = [];
  /** Called for each message that is sent to the peer. */
  onSent: (message: PeerMessage) => void = () => {};
  #handler: PeerLinkHandler | undefined;

  constructor(peerId: string, port = 40_000) {
    this.peerId = peerId;
    this.port = port;
  }

  start(handler: PeerLinkHandler): void {
    this.#handler = handler;
  }

  send(message: PeerMessage): void {
    this.sent.push(message);
    queueMicrotask(() => {
      this.onSent(message);
    });
  }

  /** The peer says something. */
  say(message: PeerMessage): void {
    this.#handler?.message(message);
  }

  drain(): void {
    this.queuedBytes = 0;
    this.#handler?.drained();
  }

  pause(): void {}

  resume(): void {}

  close(reason?: string): void {
    if (this.closedFor !== undefined) return;
    this.closedFor = reason ?? "";
    queueMicrotask(() => this.#handler?.closed());
  }
}
