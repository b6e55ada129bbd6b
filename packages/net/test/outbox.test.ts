import { MIB, rowBlocks } from "@ckmesh/core";
import { beforeEach, describe, expect, it } from "vitest";
import { FEED_BYTES, MIN_FEED_BYTES } from "../src/link-limits.js";
import { Outbox } from "../src/outbox.js";
import type { PeerSocket } from "../src/peer-socket.js";
import type { PeerWire } from "../src/peer-wire.js";

const PIECE = 16 * 1024;

/** A link that carries so many bytes per ms; `advance` lets it send. */
class SlowLink implements Pick<PeerSocket, "waitingBytes" | "write"> {
  now = 0;
  waiting: { bytes: number; flushed: () => void }[] = [];
  credit = 0;
  readonly outbox: Outbox;

  constructor() {
    const wire: Pick<PeerWire, "send"> = {
      send: (message) => {
        if (message.type === "piece") this.outbox.write(message.bytes);
        return true;
      },
    };
    const clock = { now: () => this.now, wall: () => this.now, after: () => () => {} };
    this.outbox = new Outbox(wire, this, clock, { leaving: () => {}, drained: () => {} });
  }

  write(bytes: Uint8Array, flushed: () => void): void {
    this.waiting.push({ bytes: bytes.byteLength, flushed });
  }

  get waitingBytes(): number {
    return this.waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  advance(ms: number, bytesPerMs: number): void {
    for (let i = 0; i < ms; i++) {
      this.now += 1;
      this.credit += bytesPerMs;
      for (
        let next = this.waiting[0];
        next !== undefined && next.bytes <= this.credit;
        next = this.waiting[0]
      ) {
        this.credit -= next.bytes;
        this.waiting.shift();
        next.flushed();
      }
      if (this.waiting.length === 0) this.credit = 0;
    }
  }
}

let link: SlowLink;

beforeEach(() => {
  link = new SlowLink();
  for (let i = 0; i < 200; i++) link.outbox.queue(i, new Uint8Array(PIECE));
});

describe("Outbox", () => {
  it("feeds no more than its bound while the rate is unknown", () => {
    expect(link.waitingBytes).toBe(FEED_BYTES);
  });

  it("feeds a slow link no more than it carries in a tenth of a second", () => {
    const bytesPerMs = 500;
    link.advance(1000, bytesPerMs);
    expect(link.waitingBytes).toBeGreaterThanOrEqual(MIN_FEED_BYTES);
    expect(link.waitingBytes).toBeLessThanOrEqual(100 * bytesPerMs + PIECE);
  });

  it("gives the bytes of a piece back when they have left, and not before", () => {
    link.outbox.clear();
    link.advance(100, 20_000);
    const piece = rowBlocks.take(MIB);
    link.outbox.queue(0, piece);
    const meanwhile = Array.from({ length: 8 }, () => rowBlocks.take(MIB).buffer);
    expect(meanwhile).not.toContain(piece.buffer);
    link.advance(100, 20_000);
    expect(rowBlocks.take(MIB).buffer).toBe(piece.buffer);
  });

  it("keeps nothing of a piece that was taken back", () => {
    const piece = rowBlocks.take(MIB);
    link.outbox.queue(1000, piece);
    link.outbox.cancel(1000, MIB);
    link.advance(1000, 20_000);
    expect(rowBlocks.take(MIB).buffer).not.toBe(piece.buffer);
  });

  it("feeds a fast link up to the bound", () => {
    link.advance(100, 20_000);
    expect(link.waitingBytes).toBeGreaterThan(FEED_BYTES - PIECE);
  });
});
