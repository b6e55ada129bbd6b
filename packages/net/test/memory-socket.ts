import { createHash } from "node:crypto";
import type { PeerSocket, PeerSocketEvents } from "../src/peer-socket.js";

/** One end of a byte stream in memory, in place of a TLS socket. Bytes arrive in a later microtask. */
export class MemorySocket implements PeerSocket {
  readonly address: string;
  isDestroyed = false;
  /** True: this end takes nothing from its peer. */
  isPaused = false;
  #peer: MemorySocket | undefined;
  #events: PeerSocketEvents | undefined;
  readonly #waiting: { readonly bytes: Uint8Array; readonly flushed: () => void }[] = [];
  #waitingBytes = 0;
  readonly #secret: string;

  constructor(address: string, secret: string) {
    this.address = address;
    this.#secret = secret;
  }

  /** Two ends; with different secrets their TLS exporters differ, as with a man in the middle. */
  static pair(secretA = "s", secretB = secretA): [MemorySocket, MemorySocket] {
    const a = new MemorySocket("10.0.0.1", secretA);
    const b = new MemorySocket("10.0.0.2", secretB);
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  write(bytes: Uint8Array, flushed: () => void): void {
    if (this.isDestroyed) return;
    this.#waiting.push({ bytes, flushed });
    this.#waitingBytes += bytes.byteLength;
    queueMicrotask(() => this.#flush());
  }

  exportKey(label: string, context: string): Uint8Array {
    return createHash("sha256").update(`${this.#secret}|${label}|${context}`).digest();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    if (this.#peer !== undefined) this.#peer.#flush();
  }

  end(): void {
    this.#flush();
    this.destroy();
  }

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    queueMicrotask(() => {
      this.#events?.closed();
      this.#peer?.destroy();
    });
  }

  listen(events: PeerSocketEvents): void {
    this.#events = events;
    if (this.#peer !== undefined) this.#peer.#flush();
  }

  #flush(): void {
    const peer = this.#peer;
    if (peer === undefined) return;
    while (!peer.isPaused && !peer.isDestroyed && peer.#events !== undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#waitingBytes -= next.bytes.byteLength;
      peer.#events.data(next.bytes);
      next.flushed();
    }
  }
}
