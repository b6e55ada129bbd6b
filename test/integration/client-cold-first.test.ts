import { cp, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ClientConfig, RunningClient } from "@ckmesh/client";
import type { Tracker } from "@ckmesh/tracker";
import { afterEach, beforeEach, expect, it } from "vitest";
import { countedBytes, Fixture, openTracker, reached, versionOf } from "./client-fixture.js";

/** What a head takes on the WAN. */
const HEAD_BYTES = 4096;

let fixture: Fixture;
let tracker: Tracker;
beforeEach(async () => {
  fixture = await Fixture.create();
  tracker = await openTracker();
});
afterEach(async () => {
  await fixture.close();
  await tracker.close();
});

const config = (): Partial<ClientConfig> => ({
  allowOpenSwarm: true,
  site: "north",
  tracker: tracker.urls[0] ?? "",
  materialize: "off",
});
const start = (store: string): Promise<RunningClient> => fixture.client(store, { ...config(), once: false });

it("three cold clients that begin while three with version 1 rest cost the site one delta, the index, and heads", async () => {
  await fixture.publish(1, 8);
  await fixture.once("seed", config());
  for (const store of ["a", "b", "c"])
    await cp(join(fixture.store("seed"), "images"), join(fixture.store(store), "images"), {
      recursive: true,
    });
  const old = await Promise.all(["a", "b", "c"].map(start));
  await reached(old, 1);
  await fixture.publish(2, 8, { edited: 48, deltas: [1] });
  const files = ["Win11_2.ckm.index", "Win11_2.from_1.ckm", "Win11_2.from_1.ckm.index"];
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(fixture.dir, "www", file))).size),
  );
  fixture.origin.bytes = 0;
  fixture.origin.bytesOf.clear();

  // Nobody asks those with version 1 to look, and they are not due for a quarter of an hour.
  const clients = [...(await Promise.all(["x", "y", "z"].map(start))), ...old];
  await reached(clients, 2);
  for (const client of clients) {
    const version = versionOf(client.status(), 2);
    expect(countedBytes(version)).toBe(version.needed);
  }
  expect(await fixture.isIdentical("x", 2)).toBe(true);
  const needed = sizes.reduce((sum, size) => sum + size, 0) - 2 * HEAD_BYTES;
  // Each client fetches two: of version 2, and of the previous version (cold) or of the delta.
  const heads = 2 * clients.length * HEAD_BYTES;
  expect(fixture.origin.bytes).toBeLessThanOrEqual(1.02 * needed + heads);
}, 120_000);
