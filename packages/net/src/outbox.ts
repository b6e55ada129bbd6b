import { type Clock, rowBlocks } from "@ckmesh/core";
import { FEED_BYTES, FEED_MS, FEED_SAMPLE_MS, MIN_FEED_BYTES } from "./link-limits.js";
import type { PeerSocket } from "./peer-socket.js";
import type { PeerWire } from "./peer-wire.js";
import { UploadQueue } from "./upload-queue.js";

export interface OutboxEvents {
  /** This piece goes to the socket now and cannot be taken back. */
  leaving(row: number, length: number): void;
  /** All pieces are gone and little waits. */
  drained(): void;
}

/**
 * What goes out on a link: control messages at once, pieces only while little waits in the socket. So a
 * control message never waits behind more than `#feedBytes` and one piece.
 */
export class Outbox {
  readonly #wire: Pick<PeerWire, "send">;
  readonly #sink: Pick<PeerSocket, "waitingBytes" | "write">;
  readonly #clock: Clock;
  readonly #events: OutboxEvents;
  readonly #queue = new UploadQueue();
  /** Pieces given to the wire that have not come out of it as bytes. */
  readonly #handed = new Set<Uint8Array>();
  #handedBytes = 0;
  #isDrainOwed = false;
  /** Bytes that left since `#sampleAt`, while something waited all the time; and the rate, bytes per ms, 0: unknown. */
  #sampleBytes = 0;
  #sampleAt: number;
  #rate = 0;
  #progressAt: number;
  #sentAt: number;

  constructor(
    wire: Pick<PeerWire, "send">,
    sink: Pick<PeerSocket, "waitingBytes" | "write">,
    clock: Clock,
    events: OutboxEvents,
  ) {
    this.#wire = wire;
    this.#sink = sink;
    this.#clock = clock;
    this.#events = events;
    this.#progressAt = clock.now();
    this.#sampleAt = this.#progressAt;
    this.#sentAt = this.#progressAt;
  }

  /** Bytes of queued pieces and of everything in the socket. */
  get queuedBytes(): number {
    return this.#queue.bytes + this.#waiting;
  }

  /** Bytes in the socket: control messages mostly, never more than a few pieces. */
  get unsentBytes(): number {
    return this.#sink.waitingBytes;
  }

  /** Since when the peer has taken nothing although something waits; undefined when nothing waits. */
  get stuckSince(): number | undefined {
    return this.#sink.waitingBytes === 0 ? undefined : this.#progressAt;
  }

  /** When something was last written. */
  get sentAt(): number {
    return this.#sentAt;
  }

  queue(row: number, bytes: Uint8Array): void {
    this.#isDrainOwed = true;
    this.#queue.push({ row, bytes });
    this.#feed();
  }

  /** Takes a piece out that has not left yet. */
  cancel(row: number, length: number): void {
    this.#queue.remove(row, length);
  }

  /** Drops all pieces that have not left yet. */
  clear(): void {
    this.#queue.clear();
  }

  /** Bytes from the wire for the socket. */
  write(bytes: Uint8Array): void {
    const isPiece = this.#handed.delete(bytes);
    if (isPiece) this.#handedBytes -= bytes.byteLength;
    this.#sentAt = this.#clock.now();
    if (this.#sink.waitingBytes === 0) {
      this.#progressAt = this.#sentAt;
      this.#sampleAt = this.#sentAt;
      this.#sampleBytes = 0;
    }
    this.#sink.write(bytes, () => {
      if (isPiece) rowBlocks.give(bytes);
      this.#progressAt = this.#clock.now();
      this.#measure(bytes.byteLength);
      this.#feed();
    });
  }

  /** On a slow link less is fed: 256 KiB would hold control messages up for seconds. */
  get #feedBytes(): number {
    return this.#rate === 0
      ? FEED_BYTES
      : Math.min(FEED_BYTES, Math.max(MIN_FEED_BYTES, this.#rate * FEED_MS));
  }

  #measure(bytes: number): void {
    this.#sampleBytes += bytes;
    const ms = this.#progressAt - this.#sampleAt;
    if (ms < FEED_SAMPLE_MS) return;
    this.#rate = this.#sampleBytes / ms;
    this.#sampleAt = this.#progressAt;
    this.#sampleBytes = 0;
  }

  get #waiting(): number {
    return this.#handedBytes + this.#sink.waitingBytes;
  }

  #feed(): void {
    while (this.#waiting < this.#feedBytes) {
      const piece = this.#queue.shift();
      if (piece === undefined) break;
      this.#events.leaving(piece.row, piece.bytes.byteLength);
      this.#handed.add(piece.bytes);
      this.#handedBytes += piece.bytes.byteLength;
      if (!this.#wire.send({ type: "piece", row: piece.row, bytes: piece.bytes })) {
        this.#handed.delete(piece.bytes); // nobody waits for it any more
        this.#handedBytes -= piece.bytes.byteLength;
      }
    }
    if (this.#isDrainOwed && this.#queue.bytes === 0 && this.#waiting < this.#feedBytes) {
      this.#isDrainOwed = false;
      queueMicrotask(() => this.#events.drained());
    }
  }
}
