import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunningClient } from "@ckmesh/client";
import { noMetrics, seededRandom, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { startTracker, type Tracker } from "@ckmesh/tracker";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";
import { isLookAt } from "./static-origin.js";

const HEAD_BYTES = 4096;

describe("clients with a tracker", () => {
  let fixture: Fixture;
  let tracker: Tracker;
  beforeEach(async () => {
    fixture = await Fixture.create();
    tracker = await openTracker("127.0.0.1:0");
  });
  afterEach(async () => {
    await fixture.close();
    await tracker.close();
  });

  const start = (store: string, site: string): Promise<RunningClient> =>
    fixture.client(store, { once: false, allowOpenSwarm: true, site, tracker: tracker.urls[0] ?? "" });

  it("fetch one copy per site, and follow its word about a new version at once", async () => {
    await fixture.publish(1, 16);
    const clients = await Promise.all([start("a", "north"), start("b", "north"), start("c", "south")]);
    const [a, b, c] = clients;
    await reached(clients, 1);
    const [va, vb, vc] = clients.map((client) => versionOf(client.status(), 1));
    expect((va?.bytes.origin ?? 0) + (vb?.bytes.origin ?? 0)).toBeLessThan((va?.needed ?? 0) * 1.05);
    expect(vc?.bytes).toMatchObject({ peers: 0, origin: vc?.needed });
    expect([a, b, c].map((client) => client?.status().tracker)).toEqual(Array(3).fill("connected"));
    expect([a, b, c].map((client) => client?.status().site)).toEqual(["north", "north", "south"]);

    await fixture.publish(2, 16, { changed: 4 });
    tracker.publish({ image: "Win11", version: 2 });
    await reached(clients, 2);
    for (const client of clients) {
      const version = versionOf(client.status(), 2);
      expect(countedBytes(version)).toBe(version.needed);
      expect(version.bytes.previous).toBeGreaterThan(version.needed * 0.8);
    }
  });

  it("fetch one copy of the index, its hashes included, and a head each: six that begin together", async () => {
    await fixture.publish(1, 4);
    const names = Array.from({ length: 6 }, (_, i) => `client${i}`);
    const clients = await Promise.all(names.map((name) => start(name, "north")));
    await reached(clients, 1);
    const index = (await stat(join(fixture.dir, "www", "Win11_1.ckm.index"))).size - HEAD_BYTES;
    expect(fixture.origin.bytesOf.get("Win11_1.ckm.index")).toBeLessThanOrEqual(1.1 * index);
    expect(fixture.origin.bytesOf.get("Win11.ckm.index")).toBe(clients.length * HEAD_BYTES);
  });

  it("finish without it when it is gone", async () => {
    await fixture.publish(1, 8);
    const client = await start("a", "north");
    await tracker.close();
    await reached([client], 1);
    expect(await fixture.isIdentical("a", 1)).toBe(true);
  });

  it("finish from peers what they began while the origin is gone", async () => {
    await fixture.publish(1, 16);
    const a = await start("a", "north");
    await reached([a], 1);
    // The newcomer gets the head, and nothing else.
    fixture.origin.fault = (_request, response, name) => {
      if (isLookAt("Win11", name)) return false;
      response.destroy();
      return true;
    };
    const b = await start("b", "north");
    await reached([b], 1);
    expect(versionOf(b.status(), 1).bytes.origin).toBe(0);
    expect(await fixture.isIdentical("b", 1)).toBe(true);
  });
});

function openTracker(listen: string): Promise<Tracker> {
  return startTracker(
    { listen, open: true },
    { logger: silentLogger, metrics: noMetrics, clock: systemClock, random: seededRandom(1) },
  );
}

async function reached(clients: readonly RunningClient[], version: number): Promise<void> {
  await vi.waitFor(
    () => {
      for (const client of clients) expect(versionOf(client.status(), version).state).toBe("active");
    },
    { timeout: 40_000, interval: 50 },
  );
}
