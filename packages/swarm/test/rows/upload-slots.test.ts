import { beforeEach, describe, expect, it } from "vitest";
import {
  BACKLOG_MS,
  BUSY_SLOT_MS,
  MAX_DATA_LINKS,
  SLOT_MS,
  UPLOAD_SLOTS,
  UPLOADS_PER_LINK,
} from "../../src/constants.js";
import { Link } from "../../src/links/link.js";
import { UploadSlots } from "../../src/rows/upload-slots.js";
import type { LinkId, SwarmEffect } from "../../src/swarm-messages.js";
import { peerUp } from "../peer-up.js";

let links: Map<LinkId, Link>;
let sent: SwarmEffect[];
let slots: UploadSlots;

function peers(count: number): Link[] {
  return Array.from({ length: count }, (_, n) => {
    const link = new Link(peerUp(n), 10, 0);
    links.set(n, link);
    slots.interested(link, true, 0);
    return link;
  });
}
const served = (): number => [...links.values()].filter((link) => link.hasSlot).length;
/** More requests than are read at once: some wait. */
function overload(link: Link): void {
  for (let row = 0; row <= UPLOADS_PER_LINK; row++) slots.request(link, row, 100);
}
function rejects(): number {
  return sent.filter((e) => e.type === "send" && e.message.type === "reject").length;
}

beforeEach(() => {
  links = new Map();
  sent = [];
  slots = new UploadSlots(
    links,
    () => true,
    (effect) => void sent.push(effect),
  );
});

describe("UploadSlots", () => {
  it("serves everybody who asks while no request waits", () => {
    peers(3 * UPLOAD_SLOTS);
    slots.rotate(0);
    expect(served()).toBe(3 * UPLOAD_SLOTS);
  });

  it("sends pieces to ten links at a time, the others next", () => {
    const all = peers(MAX_DATA_LINKS + 1);
    slots.rotate(0);
    for (const link of all) for (let row = 0; row < 5; row++) slots.request(link, row, 100);
    const eleventh = all[MAX_DATA_LINKS];
    expect(all.filter((link) => link.uploading > 0).length).toBe(MAX_DATA_LINKS);
    expect(eleventh?.uploading).toBe(0);
    const [first] = all;
    if (first === undefined) throw new Error("there are eleven");
    for (let row = 0; row < UPLOADS_PER_LINK; row++) slots.uploaded(first, row, 100, true);
    expect(first.uploading).toBe(0);
    expect(eleventh?.uploading).toBe(UPLOADS_PER_LINK);
  });

  it("counts slots once requests have been waiting for a while, and refuses what the others asked", () => {
    const all = peers(3 * UPLOAD_SLOTS);
    slots.rotate(0);
    for (const link of all) overload(link);
    slots.rotate(1);
    slots.rotate(1 + BACKLOG_MS);
    expect(served()).toBe(3 * UPLOAD_SLOTS); // in the middle of their pieces
    slots.rotate(1 + BUSY_SLOT_MS);
    expect(served()).toBe(UPLOAD_SLOTS);
    expect(rejects()).toBe(2 * UPLOAD_SLOTS);
  });

  it("gives each its turn while requests wait", () => {
    const all = peers(2 * UPLOAD_SLOTS);
    slots.rotate(0);
    for (const link of all) overload(link);
    const turns = new Set<Link>();
    for (let now = 1; now < 10 * BUSY_SLOT_MS; now += SLOT_MS / 4) {
      slots.rotate(now);
      for (const link of all.filter((l) => l.hasSlot)) {
        if (now > 2 * BUSY_SLOT_MS) turns.add(link);
        if (link.waiting.length === 0) overload(link);
      }
    }
    expect(turns.size).toBe(2 * UPLOAD_SLOTS);
    expect(served()).toBe(UPLOAD_SLOTS);
  });

  it("serves everybody again when nothing waits any more", () => {
    const all = peers(2 * UPLOAD_SLOTS);
    slots.rotate(0);
    for (const link of all) overload(link);
    slots.rotate(1);
    slots.rotate(1 + BUSY_SLOT_MS);
    for (const link of all) {
      while (link.uploading > 0) slots.uploaded(link, 0, 100, true);
    }
    slots.rotate(2 + BUSY_SLOT_MS);
    expect(served()).toBe(2 * UPLOAD_SLOTS);
  });

  it("refuses a request without a slot", () => {
    const [link] = peers(1);
    if (link !== undefined) slots.request(link, 0, 100);
    expect(rejects()).toBe(1);
  });
});
