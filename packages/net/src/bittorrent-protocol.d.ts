/**
 * What we use of bittorrent-protocol 5.0.9, which ships no types (those on DefinitelyTyped describe
 * version 3). Only `bittorrent-wire.ts` imports it; nothing of this may show in an exported signature.
 */
declare module "bittorrent-protocol" {
  /** BEP 10 extension: constructed by `use`, named by its prototype. */
  export interface Extension {
    onHandshake?(infoHash: string, peerId: string, extensions: object): void;
    /** Called once the other side's extended handshake named this extension. */
    onExtendedHandshake?(handshake: object): void;
    /** The raw payload after the extension's id byte: a view into the message. */
    onMessage?(payload: Uint8Array): void;
  }

  export interface ExtensionClass {
    new (wire: Wire): Extension;
    readonly prototype: { readonly name: string };
  }

  /** Gives the answer to a request, or null bytes and an error for a reject. */
  export type Respond = (err: Error | null, bytes: Uint8Array | null) => void;

  interface WireEvents {
    data: (bytes: Uint8Array) => void;
    error: (err: Error) => void;
    close: () => void;
    choke: () => void;
    unchoke: () => void;
    interested: () => void;
    uninterested: () => void;
    bitfield: (field: { readonly buffer: Uint8Array }) => void;
    "have-all": () => void;
    "have-none": () => void;
    have: (index: number) => void;
    request: (index: number, offset: number, length: number, respond: Respond) => void;
    cancel: (index: number, offset: number, length: number) => void;
    reject: (index: number, offset: number, length: number) => void;
    /** Also emitted for pieces that nobody asked for. */
    piece: (index: number, offset: number, bytes: Uint8Array) => void;
  }

  /** A streamx Duplex: bytes of the other side are written to it, bytes for the other side are read. */
  class Wire {
    /** @param peEnabled 0 = no MSE encryption, which must never be on: one message ends the process */
    constructor(type: "tcpIncoming" | "tcpOutgoing", peEnabled: 0);
    readonly amChoking: boolean;
    readonly peerChoking: boolean;
    readonly destroyed: boolean;
    on<Name extends keyof WireEvents>(event: Name, listener: WireEvents[Name]): this;
    write(bytes: Uint8Array): boolean;
    use(extension: ExtensionClass): void;
    handshake(infoHash: Uint8Array, peerId: Uint8Array, extensions: { readonly fast: boolean }): void;
    keepAlive(): void;
    choke(): void;
    unchoke(): void;
    interested(): void;
    uninterested(): void;
    bitfield(bits: Uint8Array): void;
    haveAll(): void;
    haveNone(): void;
    /** The callback hears at once when the other side chokes us: the request is not sent then. */
    request(
      index: number,
      offset: number,
      length: number,
      done: (err: Error | null, bytes: Uint8Array | null) => void,
    ): void;
    cancel(index: number, offset: number, length: number): void;
    reject(index: number, offset: number, length: number): void;
    extended(name: string, payload: Uint8Array): void;
    /** A graceful end; the socket is ours to destroy. */
    destroy(): void;
  }

  export { Wire as default };
}
