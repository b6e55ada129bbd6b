import type { RunningClient } from "@ckmesh/client";
import { noMetrics, seededRandom, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { startTracker, type Tracker } from "@ckmesh/tracker";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { Fixture, versionOf } from "./client-fixture.js";
import { type Fault, isLookAt } from "./static-origin.js";

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(() => fixture.close());

/** Stays, and shares; fetches whole spans, as requests are counted here. */
const start = (store: string, config: { site?: string; tracker?: string } = {}): Promise<RunningClient> =>
  fixture.client(store, { once: false, allowOpenSwarm: true, pollSeconds: 1, wanBudget: "off", ...config });

/** Only heads are served: whatever else a client gets comes from peers. */
const headsOnly: Fault = (_request, response, name) => {
  if (isLookAt("Win11", name)) return false;
  response.destroy();
  return true;
};
const gone: Fault = (_request, response) => {
  response.destroy();
  return true;
};

async function reached(clients: readonly RunningClient[], version: number): Promise<void> {
  await vi.waitFor(
    () => {
      for (const client of clients) expect(versionOf(client.status(), version).state).toBe("active");
    },
    { timeout: 40_000, interval: 50 },
  );
}

async function openTracker(listen: string): Promise<Tracker> {
  const tracker = await startTracker(
    { listen, open: true },
    { logger: silentLogger, metrics: noMetrics, clock: systemClock, random: seededRandom(1) },
  );
  onTestFinished(() => tracker.close());
  return tracker;
}

describe("without a tracker", () => {
  it("peers name peers: a newcomer that knows one finds the others", async () => {
    await fixture.publish(1, 8);
    const a = await start("a");
    await reached([a], 1);
    await fixture.remember("b", a.peerPort);
    const b = await start("b");
    await reached([b], 1);
    fixture.origin.fault = headsOnly;
    await fixture.remember("c", b.peerPort);
    const c = await start("c");
    await vi.waitFor(() => expect(versionOf(c.status(), 1).peers).toBe(2), { timeout: 20_000 });
    await reached([c], 1);
    expect(versionOf(c.status(), 1).bytes.origin).toBe(0);
  });

  it("links are remembered: a restarted client finds its peers again by itself", async () => {
    await fixture.publish(1, 8);
    const a = await start("a");
    await reached([a], 1);
    await fixture.remember("b", a.peerPort);
    const b = await start("b");
    await reached([b], 1);
    await b.close();
    await fixture.publish(2, 8, { changed: 40 });
    await reached([a], 2);
    fixture.origin.fault = headsOnly;
    const again = await start("b");
    await reached([again], 2);
    expect(versionOf(again.status(), 2).bytes.peers).toBeGreaterThan(0);
    expect(versionOf(again.status(), 2).bytes.origin).toBe(0);
  });

  it("and with nobody where peers were once, a client completes from the origin", async () => {
    await fixture.publish(1, 8);
    const a = await start("a");
    await reached([a], 1);
    const { peerPort } = a;
    await a.close();
    await fixture.remember("b", peerPort);
    const b = await start("b", { tracker: "ws://127.0.0.1:9" });
    await reached([b], 1);
    expect(b.status().tracker).toBe("away");
    expect(versionOf(b.status(), 1).bytes.origin).toBe(versionOf(b.status(), 1).needed);
  });

  it("that comes back, clients that never met find each other through it", async () => {
    await fixture.publish(1, 8);
    const first = await openTracker("127.0.0.1:0");
    const tracker = first.urls[0] ?? "";
    const a = await start("a", { site: "north", tracker });
    await reached([a], 1);
    await first.close();
    await vi.waitFor(() => expect(a.status().tracker).toBe("away"), { timeout: 10_000 });
    fixture.origin.fault = headsOnly;
    const b = await start("b", { site: "north", tracker });
    await openTracker(new URL(tracker).host);
    await reached([b], 1);
    expect(versionOf(b.status(), 1).bytes.origin).toBe(0);
  }, 60_000);
});

describe("without an origin", () => {
  it("a site shares what it holds in union, and follows the origin when it is back", async () => {
    await fixture.publish(1, 16);
    const [goneAfter, ranges] = [4, { count: 0 }];
    fixture.origin.fault = (request, response, name) => {
      if (!name.endsWith(".index")) ranges.count += 1;
      return ranges.count > goneAfter ? gone(request, response, name) : false;
    };
    const a = await start("a");
    await fixture.remember("b", a.peerPort);
    const b = await start("b");
    await vi.waitFor(
      () => {
        expect(ranges.count).toBeGreaterThan(goneAfter);
        const held = [a, b].map((client) => versionOf(client.status(), 1).haveRows);
        expect(held[0]).toBe(held[1]);
        expect(held[0]).toBeGreaterThan(10);
      },
      { timeout: 40_000, interval: 50 },
    );
    expect([a, b].map((client) => versionOf(client.status(), 1).state)).toEqual(["fetching", "fetching"]);

    fixture.origin.fault = undefined;
    await reached([a, b], 1);
    const [va, vb] = [a, b].map((client) => versionOf(client.status(), 1));
    expect((va?.bytes.origin ?? 0) + (vb?.bytes.origin ?? 0)).toBeLessThan((va?.needed ?? 0) * 1.1);
    await fixture.publish(2, 16, { changed: 8 });
    await reached([a, b], 2);
    expect(await fixture.isIdentical("a", 2)).toBe(true);
    expect(await fixture.isIdentical("b", 2)).toBe(true);
  }, 120_000);
});
