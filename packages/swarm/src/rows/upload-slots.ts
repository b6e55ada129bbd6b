import {
  BACKLOG_MS,
  BUSY_SLOT_MS,
  MAX_DATA_LINKS,
  MAX_QUEUED_REQUESTS,
  SLOT_BYTES,
  SLOT_MS,
  UPLOAD_SLOTS,
  UPLOADS_PER_LINK,
} from "../constants.js";
import type { Link } from "../links/link.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";

/**
 * Whom to serve (site swarm rule 15). As long as every request is answered at once, everybody who asks is served:
 * then a slot would only make rows wait. When requests pile up, there are a few slots, given to who waits longest,
 * rotated while others wait.
 */
export class UploadSlots {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  readonly #holds: (row: number, length: number) => boolean;
  /** Links to which pieces are on their way. */
  #busy = 0;
  /** When a slot may change hands, if no request or answer comes before. */
  #rotateAt = 0;
  /** Since when requests have been waiting without a break. */
  #backlogSince: number | undefined;

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
    this.#rotateAt = 0;
    if (!wantsUs && link.hasSlot) this.#choke(link, now);
  }

  /** A link has gone, perhaps with its slot. */
  gone(link: Link): void {
    this.#rotateAt = 0;
    if (link.uploading > 0) this.#busy -= 1;
    this.#feedAll();
  }

  /** A request of the peer: queued, or refused (BEP 6) when it has no slot, asks too much or the rows are not held. */
  request(link: Link, row: number, length: number): void {
    this.#rotateAt = 0;
    if (!link.hasSlot || link.waiting.length >= MAX_QUEUED_REQUESTS || !this.#holds(row, length)) {
      this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
      return;
    }
    link.waiting.push({ row, length });
    if (link.waiting.length === 1) this.#feed(link);
  }

  cancel(link: Link, row: number, length: number): void {
    const at = link.waiting.findIndex((w) => w.row === row && w.length === length);
    if (at < 0) return;
    link.waiting.splice(at, 1);
    this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
  }

  uploaded(link: Link, row: number, length: number, ok: boolean): void {
    this.#rotateAt = 0;
    if (link.uploading === 1) this.#busy -= 1;
    link.uploading = Math.max(0, link.uploading - 1);
    if (!ok) this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
    else link.slotBytes += length;
    this.#feedAll();
  }

  /** Gives free slots away and rotates taken ones. Returns when to look again. */
  rotate(now: number): number {
    if (now >= this.#rotateAt) this.#rotateAt = this.#rotate(now);
    return this.#rotateAt;
  }

  #rotate(now: number): number {
    const links = [...this.#links.values()];
    const waiting = links
      .filter((l) => l.wantsUs && !l.hasSlot)
      .toSorted((a, b) => a.wantsSince - b.wantsSince);
    const served = links.filter((l) => l.hasSlot).toSorted((a, b) => a.slotSince - b.slotSince);
    if (served.some((l) => l.waiting.length > 0)) this.#backlogSince ??= now;
    else this.#backlogSince = undefined;
    const countAt = (this.#backlogSince ?? Number.POSITIVE_INFINITY) + BACKLOG_MS;
    if (now < countAt) {
      for (const link of waiting) this.#unchoke(link, now);
      return countAt;
    }
    let free = UPLOAD_SLOTS - served.length;
    while (free < 0 || (free === 0 && waiting.length > 0)) {
      const oldest = served.shift();
      if (oldest === undefined) break;
      const isOwed = oldest.uploading > 0 || oldest.waiting.length > 0;
      const isFruitless = isOwed && oldest.slotBytes < SLOT_BYTES;
      const tenure = isFruitless ? BUSY_SLOT_MS : SLOT_MS;
      if (now - oldest.slotSince < tenure) return Math.max(now + SLOT_MS / 4, oldest.slotSince + SLOT_MS);
      this.#choke(oldest, now);
      free += 1;
      const next = free > 0 ? waiting.shift() : undefined;
      if (next === undefined) continue;
      this.#unchoke(next, now);
      free -= 1;
    }
    for (const link of waiting.slice(0, Math.max(0, free))) this.#unchoke(link, now);
    return served.length > 0 ? now + SLOT_MS / 4 : Number.POSITIVE_INFINITY;
  }

  #unchoke(link: Link, now: number): void {
    link.hasSlot = true;
    link.slotSince = now;
    link.slotBytes = 0;
    this.#emit({ type: "send", link: link.id, message: { type: "unchoke" } });
  }

  #choke(link: Link, now: number): void {
    link.hasSlot = false;
    link.wantsSince = now;
    this.#emit({ type: "send", link: link.id, message: { type: "choke" } });
    for (const { row, length } of link.waiting.splice(0)) {
      this.#emit({ type: "send", link: link.id, message: { type: "reject", row, length } });
    }
  }

  /** Those whose requests wait: who has had nothing in this turn goes first, so that no turn is empty. */
  #feedAll(): void {
    const hungry = [...this.#links.values()].filter((link) => link.waiting.length > 0);
    for (const link of hungry) if (link.slotBytes === 0) this.#feed(link);
    const isCrowded = this.#busy >= MAX_DATA_LINKS && hungry.some((link) => link.uploading === 0);
    // Whoever is served gives its place up after the pieces that are on their way.
    if (!isCrowded) for (const link of hungry) this.#feed(link);
  }

  /** Rule 3: pieces go to ten links at a time; what the others asked for waits until one of these has its own. */
  #feed(link: Link): void {
    while (link.uploading < UPLOADS_PER_LINK && (link.uploading > 0 || this.#busy < MAX_DATA_LINKS)) {
      const next = link.waiting.shift();
      if (next === undefined) return;
      if (link.uploading === 0) this.#busy += 1;
      link.uploading += 1;
      this.#emit({ type: "upload", link: link.id, row: next.row, length: next.length });
    }
  }
}
