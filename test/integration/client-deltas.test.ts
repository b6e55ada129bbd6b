import { cp, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunningClient, VersionStatus } from "@ckmesh/client";
import type { Tracker } from "@ckmesh/tracker";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, openTracker, reached, versionOf } from "./client-fixture.js";

const DELTA = "Win11_2.from_1.ckm";
/** What a head takes on the WAN. */
const HEAD_BYTES = 4096;

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => {
  await fixture.close();
});

it("one client updates with the bytes of the delta and of the missing index only, and keeps none of it", async () => {
  await fixture.publish(1, 8);
  await fixture.once("a");
  await fixture.publish(2, 8, { edited: 32, deltas: [1] });
  fixture.origin.bytes = 0;
  const version = versionOf(await fixture.once("a"), 2);
  expect(await fixture.isIdentical("a", 2)).toBe(true);
  expect(countedBytes(version)).toBe(version.needed);
  expect(version.bytes.delta).toBeGreaterThan(32 * 60_000);
  expect(sent("Win11_2.ckm")).toBe(0);
  expect(sent(DELTA)).toBe((await sizeOf(DELTA)) - 64);
  expect(sent(`${DELTA}.index`)).toBe(await sizeOf(`${DELTA}.index`));
  // Beside its rows, two heads: of the version and of the delta.
  expect(fixture.origin.bytes).toBe(wanBytes([version]) + 2 * HEAD_BYTES);
  expect((await filesOf("a")).filter((file) => file.includes("from"))).toEqual([]);
}, 60_000);

describe("a site", () => {
  let tracker: Tracker;
  beforeEach(async () => {
    tracker = await openTracker();
  });
  afterEach(async () => {
    await fixture.close();
    await tracker.close();
  });

  const config = () => ({
    allowOpenSwarm: true,
    site: "north",
    tracker: tracker.urls[0] ?? "",
    materialize: "off" as const,
  });
  const start = (store: string): Promise<RunningClient> =>
    fixture.client(store, { ...config(), once: false });

  it("of three cold clients and three with version 1 pays for one delta; who comes late pays nothing", async () => {
    await fixture.publish(1, 8);
    await fixture.once("seed", config());
    for (const store of ["a", "b", "c", "late"])
      await cp(join(fixture.store("seed"), "images"), join(fixture.store(store), "images"), {
        recursive: true,
      });
    await fixture.publish(2, 8, { edited: 48, deltas: [1] });
    const [index, delta, deltaIndex] = await Promise.all(
      ["Win11_2.ckm.index", DELTA, `${DELTA}.index`].map(sizeOf),
    );
    fixture.origin.bytesOf.clear();

    const old = await Promise.all(["a", "b", "c"].map(start));
    for (const client of old) client.check();
    // Cold ones that come first: client-cold-first.test.ts.
    await vi.waitFor(() => {
      for (const client of old) expect(versionOf(client.status(), 2).state).toBe("fetching");
    }, 20_000);
    const clients = [...old, ...(await Promise.all(["x", "y", "z"].map(start)))];
    await reached(clients, 2);
    const versions = clients.map((client) => versionOf(client.status(), 2));
    for (const version of versions) expect(countedBytes(version)).toBe(version.needed);
    expect(wanBytes(versions)).toBeLessThanOrEqual(
      1.02 * ((delta ?? 0) + (deltaIndex ?? 0) + (index ?? 0) - 2 * HEAD_BYTES),
    );
    expect(await fixture.isIdentical("x", 2)).toBe(true);

    fixture.origin.bytesOf.clear();
    const version = versionOf(await fixture.once("late", config()), 2);
    expect(countedBytes(version)).toBe(version.needed);
    expect(wanBytes([version])).toBe(0);
    expect([sent(DELTA), sent(`${DELTA}.index`), sent("Win11_2.ckm")]).toEqual([0, 0, 0]);
  }, 180_000);
});

/** Bytes of rows that came over the WAN, wanted or not. */
function wanBytes(versions: readonly VersionStatus[]): number {
  return versions.reduce((sum, { bytes, wasted }) => sum + bytes.origin + wasted.origin, 0);
}

function sent(file: string): number {
  return fixture.origin.bytesOf.get(file) ?? 0;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(join(fixture.dir, "www", file))).size;
}

async function filesOf(store: string): Promise<readonly string[]> {
  return await readdir(join(fixture.store(store), "images", "Win11"));
}
