import { BUSY_SLOT_MS, MAX_QUEUED_REQUESTS, SLOT_MS, UPLOAD_SLOTS, UPLOADS_PER_LINK } from "./constants.js";
import type { Link } from "./link.js";
import type { LinkId, SwarmEffect } from "./swarm-messages.js";

/** Whom to serve (site swarm rule 15): a few slots, given to who waits longest, rotated while others wait. */
export class UploadSlots {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  readonly #holds: (row: number, length: number) => boolean;

  /** @param holds true if `length` bytes of rows from `row` on are on offer */
  constructor(
    links: ReadonlyMap<LinkId, Link>,
    holds: (row: number, length: number) => boolean,
    emit: (effect: SwarmEffect) => void,
  ) {
    this.#links = links;
    this.#holds = holds;
    this.#emit = emit;
  }

  interested(link: Link, wantsUs: boolean, now: number): void {
    if (link.wantsUs === wantsUs) return;
    link.wantsUs = wantsUs;
    link.wantsSince = now;
    if (!wantsUs && link.hasSlot) this.#choke(link, now);
  }

  /** A request of the peer: queued, or refused (BEP 6) when it has no slot, asks too much or the rows are not held. */
  request(link: Link, row: number, length: number): void {
    if (!link.hasSlot || link.waiting.length >= MAX_QUEUED_REQUESTS || !this.#holds(row, length)) {
      this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
      return;
    }
    link.waiting.push({ row, length });
    this.#feed(link);
  }

  cancel(link: Link, row: number, length: number): void {
    const at = link.waiting.findIndex((w) => w.row === row && w.length === length);
    if (at < 0) return;
    link.waiting.splice(at, 1);
    this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
  }

  uploaded(link: Link, row: number, length: number, ok: boolean): void {
    link.uploading = Math.max(0, link.uploading - 1);
    if (!ok) this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
    this.#feed(link);
  }

  /** Gives free slots away and rotates taken ones. Returns when to look again. */
  rotate(now: number): number {
    const links = [...this.#links.values()];
    const waiting = links
      .filter((l) => l.wantsUs && !l.hasSlot)
      .toSorted((a, b) => a.wantsSince - b.wantsSince);
    const served = links.filter((l) => l.hasSlot).toSorted((a, b) => a.slotSince - b.slotSince);
    let free = UPLOAD_SLOTS - served.length;
    for (const link of waiting) {
      if (free <= 0) {
        const oldest = served.shift();
        if (oldest === undefined) return Number.POSITIVE_INFINITY;
        const tenure = oldest.uploading > 0 ? BUSY_SLOT_MS : SLOT_MS;
        if (now - oldest.slotSince < tenure) return Math.max(now + SLOT_MS / 4, oldest.slotSince + SLOT_MS);
        this.#choke(oldest, now);
        free += 1;
      }
      link.hasSlot = true;
      link.slotSince = now;
      free -= 1;
      this.#emit({ type: "send", link: link.id, message: { type: "unchoke" } });
    }
    return Number.POSITIVE_INFINITY;
  }

  #choke(link: Link, now: number): void {
    link.hasSlot = false;
    link.wantsSince = now;
    this.#emit({ type: "send", link: link.id, message: { type: "choke" } });
    for (const { row, length } of link.waiting.splice(0)) {
      this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
    }
  }

  #feed(link: Link): void {
    while (link.uploading < UPLOADS_PER_LINK) {
      const next = link.waiting.shift();
      if (next === undefined) return;
      link.uploading += 1;
      this.#emit({ type: "upload", link: link.id, row: next.row, length: next.length });
    }
  }
}
