import { once } from "node:events";
import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ClientConfig, controlStore, exportPair } from "@ckmesh/client";
import { isAppError, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import type { Tracker } from "@ckmesh/tracker";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, openTracker, reached, versionOf } from "./client-fixture.js";
import { packElsewhere } from "./forged-index.js";

const DISK = { materialize: "raw" } as const;

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => {
  await fixture.close();
});

const www = (file: string): string => join(fixture.dir, "www", file);
const sent = (file: string): number => fixture.origin.bytesOf.get(file) ?? 0;

/** Version 1 on client "a", and at the origin version 2 of a machine whose codec makes other frames, with a delta. */
async function update(config: Partial<ClientConfig>): Promise<void> {
  await fixture.publish(1, 4);
  await fixture.once("a", config);
  await fixture.publish(2, 4, { edited: 16 });
  await packElsewhere(www("Win11_2.ckm"));
  await fixture.makeDelta(1, 2);
  fixture.origin.bytesOf.clear();
}

/** True if the disk in the store is the one that was published last. */
async function isDiskRight(version: number): Promise<boolean> {
  const disk = await readFile(join(fixture.store("a"), "images", "Win11", `Win11_${version}.img`));
  return disk.equals(await readFile(join(fixture.dir, "disk.img")));
}

it("a machine with another codec applies the delta for its disk, and no plain frame crosses the WAN; nor of the next version", async () => {
  await update(DISK);
  const second = versionOf(await fixture.once("a", DISK), 2);
  expect(second).toMatchObject({ state: "active", disk: "Win11_2.img" });
  expect(await isDiskRight(2)).toBe(true);
  expect(countedBytes(second)).toBe(second.needed);
  expect(second.bytes.delta).toBeGreaterThan(16 * 60_000);
  expect(second.wasted.origin).toBe(0);
  expect(sent("Win11_2.ckm")).toBe(0);

  // Version 3 keeps the frames that are here decoded only, and its delta starts from them.
  await fixture.publish(3, 4, { edited: 16, like: 2, changed: 3, deltas: [2] });
  const third = versionOf(await fixture.once("a", DISK), 3);
  expect(third.state).toBe("active");
  expect(await isDiskRight(3)).toBe(true);
  expect(countedBytes(third)).toBe(third.needed);
  expect(sent("Win11_3.ckm")).toBeLessThan(65_536);
  expect(sent("Win11_2.ckm")).toBe(0);
});

it("counts the room for frames that are kept decoded, until they are here", async () => {
  await update(DISK);
  const gate = new AbortController();
  const until = once(gate.signal, "abort").then(() => undefined);
  fixture.origin.pause = { name: "Win11_2.from_1.ckm", until };
  const client = await fixture.client("a", { ...DISK, once: false });
  client.check();
  // 16 frames of 64 KiB, each with its number.
  await vi.waitFor(
    () => {
      expect(versionOf(client.status(), 2).spaceNeeded?.decoded).toBe(16 * 65_540);
      expect(versionOf(client.status(), 2).spaceNeeded?.delta).toBeGreaterThan(0);
    },
    { timeout: 20_000, interval: 20 },
  );
  gate.abort();
  await reached([client], 2);
  expect(versionOf(client.status(), 2).spaceNeeded).toBeUndefined();
});

it("a version of which frames are here decoded only can be rolled back to without a client, and is no pair to export", async () => {
  await update(DISK);
  await fixture.once("a", DISK);
  const [store, out, logger] = [fixture.store("a"), join(fixture.dir, "usb"), silentLogger];
  const err: unknown = await exportPair(store, "Win11", out, { logger }).catch((e: unknown) => e);
  expect(isAppError(err, "ERR_IMAGE_NOT_FOUND") && err.message).toMatch(
    /version 2 of Win11 is not whole: \d+ of \d+ rows are missing \(.*\), frames that .* decoded only/,
  );
  expect(await exportPair(store, "Win11", out, { logger, version: 1 })).toMatchObject({ version: 1 });

  await fixture.publish(3, 4, { edited: 16, like: 2, changed: 3, deltas: [2] });
  await fixture.once("a", DISK);
  const request = { command: "rollback", image: "Win11" } as const;
  await controlStore(store, request, { logger, clock: systemClock });
  const active: unknown = JSON.parse(await readFile(join(store, "images/Win11/active"), "utf8"));
  expect(active).toMatchObject({ version: 2, disk: "Win11_2.img" });
  expect(versionOf(await fixture.once("a", DISK), 2).state).toBe("active");
});

it("what is here decoded only is enough for a way over two deltas", async () => {
  await update(DISK);
  await fixture.once("a", DISK);
  // Frames 0 to 3 are packed by this machine's codec, the others are those of version 2.
  await fixture.publish(3, 4, { edited: 16, like: 2, changed: 4, deltas: [2] });
  await fixture.publish(4, 4, { edited: 16, like: 2, changed: 8, deltas: [3] });
  const version = versionOf(await fixture.once("a", DISK), 4);
  expect(version.state).toBe("active");
  expect(await isDiskRight(4)).toBe(true);
  expect(sent("Win11_3.ckm")).toBe(0);
  expect(sent("Win11_4.ckm")).toBe(0);
});

it("packed frames that such a machine cannot make come from a peer that has them, and complete its pack", async () => {
  const config = { ...DISK, allowOpenSwarm: true };
  await update(config);
  await fixture.once("a", config);
  expect(await fixture.isIdentical("a", 2).catch(() => "no pack")).toBe("no pack");
  await fixture.once("b", config);
  fixture.origin.bytesOf.clear();
  const peer = await fixture.client("b", { ...config, once: false });
  await reached([peer], 2);
  await fixture.remember("a", peer.peerPort);
  const again = await fixture.client("a", { ...config, once: false });
  await vi.waitFor(async () => expect(await fixture.isIdentical("a", 2)).toBe(true), { timeout: 20_000 });
  const version = versionOf(again.status(), 2);
  expect(version.state).toBe("active");
  expect(version.bytes.peers).toBeGreaterThan(16 * 60_000);
  expect(countedBytes(version)).toBe(version.needed);
  expect(sent("Win11_2.ckm")).toBe(0);
});

describe("a site", () => {
  let tracker: Tracker;
  beforeEach(async () => {
    tracker = await openTracker();
  });
  afterEach(async () => {
    await fixture.close();
    await tracker.close();
  });

  it("of two such machines and two that hold nothing pays for plain frames, and for nothing of the delta", async () => {
    const config = {
      ...DISK,
      allowOpenSwarm: true,
      site: "north",
      tracker: tracker.urls[0] ?? "",
      once: false,
    };
    await update(DISK);
    await cp(join(fixture.store("a"), "images"), join(fixture.store("b"), "images"), { recursive: true });
    const clients = await Promise.all(["a", "b", "c", "d"].map((store) => fixture.client(store, config)));
    for (const client of clients) client.check();
    await reached(clients, 2);
    // Frames that version 2 keeps come from those who have version 1.
    expect(sent("Win11_2.ckm")).toBeLessThanOrEqual(1.02 * 16 * 65_536);
    expect(sent("Win11_2.from_1.ckm") + sent("Win11_2.from_1.ckm.index")).toBe(0);
  });
});

it("where no disk is wanted such a machine looks for no delta, and each frame comes once", async () => {
  const config = { materialize: "off" } as const;
  await update(config);
  const version = versionOf(await fixture.once("a", config), 2);
  expect(await fixture.isIdentical("a", 2)).toBe(true);
  expect(version.wasted.origin).toBe(0);
  expect(sent("Win11_2.from_1.ckm.index")).toBe(0);
});
