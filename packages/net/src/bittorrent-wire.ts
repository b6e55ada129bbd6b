import Wire, { type Extension, type Respond } from "bittorrent-protocol";
import type { PeerWire, PeerWireEvents, WireMessage } from "./peer-wire.js";
import { CK_EXTENSION } from "./wire-guard.js";

/**
 * bittorrent-protocol 5.0.9 as a `PeerWire`, MSE off, fast extension on. It must see only what `WireGuard` let
 * through: a single hostile message ends the process otherwise (specs: peer wire 1.2).
 */
export class BittorrentWire implements PeerWire {
  readonly #wire: Wire;
  readonly #events: PeerWireEvents;
  /** How to answer each open request of the peer, by `row:length`. */
  readonly #answers = new Map<string, Respond>();
  #isClosed = false;

  constructor(isInbound: boolean, events: PeerWireEvents) {
    this.#events = events;
    this.#wire = new Wire(isInbound ? "tcpIncoming" : "tcpOutgoing", 0);
    this.#wire.use(extensionClass(this.#guarded(events.ready), this.#guarded(events.ck)));
    this.#listen();
  }

  get isChoking(): boolean {
    return this.#wire.amChoking;
  }

  handshake(infohash: Uint8Array, peerId: Uint8Array): void {
    this.#wire.handshake(infohash, peerId, { fast: true });
  }

  receive(message: Uint8Array): void {
    if (!this.#isClosed) this.#wire.write(message);
  }

  send(message: WireMessage): boolean {
    if (this.#isClosed) return false;
    const wire = this.#wire;
    switch (message.type) {
      case "choke":
        wire.choke(); // rejects every open request
        this.#answers.clear();
        return true;
      case "unchoke":
        wire.unchoke();
        return true;
      case "interested":
        wire.interested();
        return true;
      case "not-interested":
        wire.uninterested();
        return true;
      case "bitfield":
        wire.bitfield(message.bits);
        return true;
      case "have-all":
        wire.haveAll();
        return true;
      case "have-none":
        wire.haveNone();
        return true;
      case "request":
        if (wire.peerChoking) return false;
        wire.request(message.row, 0, message.length, ignore);
        return true;
      case "cancel":
        wire.cancel(message.row, 0, message.length);
        return true;
      case "reject":
        this.#takeAnswer(message.row, message.length);
        wire.reject(message.row, 0, message.length);
        return true;
      case "piece": {
        const respond = this.#takeAnswer(message.row, message.bytes.byteLength);
        respond?.(null, message.bytes);
        return respond !== undefined;
      }
    }
  }

  sendCk(payload: Uint8Array): void {
    if (!this.#isClosed) this.#wire.extended(CK_EXTENSION, payload);
  }

  keepAlive(): void {
    if (!this.#isClosed) this.#wire.keepAlive();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#answers.clear();
    this.#wire.destroy();
  }

  #listen(): void {
    const wire = this.#wire;
    const tell = this.#guarded(this.#events.message);
    wire.on("error", this.#guarded(this.#events.failed));
    wire.on("data", this.#guarded(this.#events.output));
    wire.on("choke", () => tell({ type: "choke" }));
    wire.on("unchoke", () => tell({ type: "unchoke" }));
    wire.on("interested", () => tell({ type: "interested" }));
    wire.on("uninterested", () => tell({ type: "not-interested" }));
    wire.on("bitfield", (field) => tell({ type: "bitfield", bits: field.buffer }));
    wire.on("have-all", () => tell({ type: "have-all" }));
    wire.on("have-none", () => tell({ type: "have-none" }));
    wire.on("have", (first) => tell({ type: "have", runs: [{ first, count: 1 }] }));
    wire.on("request", (row, _, length, respond) => {
      this.#answers.set(keyOf(row, length), respond);
      tell({ type: "request", row, length });
    });
    wire.on("cancel", (row, _, length) => tell({ type: "cancel", row, length }));
    wire.on("reject", (row, _, length) => tell({ type: "reject", row, length }));
    // Unsolicited pieces come this way too; the guard let none through.
    wire.on("piece", (row, _, bytes) => tell({ type: "piece", row, bytes }));
  }

  #takeAnswer(row: number, length: number): Respond | undefined {
    const key = keyOf(row, length);
    const respond = this.#answers.get(key);
    this.#answers.delete(key);
    return respond;
  }

  /** The listener, but silent once closed: the library says goodbye in events of its own. */
  #guarded<Args extends readonly unknown[]>(run: (...args: Args) => void): (...args: Args) => void {
    return (...args) => {
      if (!this.#isClosed) run(...args);
    };
  }
}

/** BEP 10 extension `ck` as the library wants it: a class with its name on the prototype. */
function extensionClass(
  ready: () => void,
  ck: (payload: Uint8Array) => void,
): { new (): Extension; readonly prototype: { readonly name: string } } {
  class CkExtension implements Extension {
    declare readonly name: string;
    onExtendedHandshake(): void {
      ready();
    }
    onMessage(payload: Uint8Array): void {
      ck(payload);
    }
  }
  Object.defineProperty(CkExtension.prototype, "name", { value: CK_EXTENSION });
  return CkExtension;
}

function keyOf(row: number, length: number): string {
  return `${row}:${length}`;
}

function ignore(): void {
  // Answers are taken from the events.
}
