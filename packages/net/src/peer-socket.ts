export interface PeerSocketEvents {
  /** A view that is valid during the call only: the next bytes come into the same memory. */
  readonly data: (bytes: Uint8Array) => void;
  /** Once, last. */
  readonly closed: (err?: Error) => void;
}

/** An encrypted byte stream whose other end proved the swarm's key. */
export interface PeerSocket {
  /** IP literal of the other end. */
  readonly address: string;
  /** Bytes written and not flushed. */
  readonly waitingBytes: number;
  /** `flushed` is called when these bytes have gone to the system. */
  write(bytes: Uint8Array, flushed: () => void): void;
  /** TLS exporter (RFC 8446 §7.5), 32 bytes. */
  exportKey(label: string, context: string): Uint8Array;
  pause(): void;
  resume(): void;
  /** Sends what waits, then hangs up. */
  end(): void;
  destroy(): void;
  listen(events: PeerSocketEvents): void;
}
