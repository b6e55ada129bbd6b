import { cp, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunningClient, VersionStatus } from "@ckmesh/client";
import type { Tracker } from "@ckmesh/tracker";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, openTracker, reached, versionOf } from "./client-fixture.js";
import { swapFrames } from "./forged-index.js";

const FIRST = "Win11_2.from_1.ckm";
const SECOND = "Win11_3.from_2.ckm";
const DIRECT = "Win11_3.from_1.ckm";
/** What a head takes on the WAN. */
const HEAD_BYTES = 4096;
/** Frames that differ in versions 2 and 3, and those that are new in version 2 and the same in 3. */
const EDITED = { edited: 8, settled: 40 };

const SITE = { allowOpenSwarm: true, site: "north", materialize: "off" as const };

/** Versions 1 to 3 with a delta from each to the next, and the store of a client with version 1: made once. */
let made: Fixture;
beforeAll(async () => {
  made = await Fixture.create();
  await made.publish(1, 8);
  await made.once("seed", SITE);
  await made.publish(2, 8, { ...EDITED, deltas: [1] });
  await made.publish(3, 8, { ...EDITED, deltas: [2] });
}, 180_000);
afterAll(async () => {
  await made.close();
});

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
  await cp(join(made.dir, "www"), join(fixture.dir, "www"), { recursive: true });
  fixture.origin.publish("Win11", 3);
});
afterEach(async () => {
  await fixture.close();
});

/** Clients that hold version 1. */
async function twoBehind(...stores: readonly string[]): Promise<void> {
  for (const store of stores)
    await cp(join(made.store("seed"), "images"), join(fixture.store(store), "images"), { recursive: true });
}

describe("a client two versions behind, where deltas lead from one version to the next", () => {
  it("updates with their bytes, asks for few names, and keeps none of them", async () => {
    await twoBehind("a");
    const asked: string[] = [];
    fixture.origin.fault = (_request, _response, name) => {
      if (!fixture.origin.bytesOf.has(name)) asked.push(name);
      return false;
    };
    const version = versionOf(await fixture.once("a", SITE), 3);
    expect(await fixture.isIdentical("a", 3)).toBe(true);
    expect(countedBytes(version)).toBe(version.needed);
    expect([sent("Win11_2.ckm"), sent("Win11_3.ckm")]).toEqual([0, 0]);
    expect(sent(FIRST) + sent(SECOND)).toBe((await sizeOf(FIRST)) + (await sizeOf(SECOND)) - 2 * 64);
    expect((await filesOf("a")).filter((file) => /from|_2/.test(file))).toEqual([]);
    expect(asked.filter((name) => /(from.*|_2\.ckm)\.index|catalogue/.test(name))).toEqual([
      `${DIRECT}.index`,
      "catalogue",
      `${SECOND}.index`,
      `${FIRST}.index`,
      "Win11_2.ckm.index",
    ]);

    const chain = wanBytes([version]);
    await twoBehind("b");
    await fixture.makeDelta(1, 3);
    const direct = wanBytes([versionOf(await fixture.once("b", SITE), 3)]);
    expect(chain / direct).toBeLessThanOrEqual(1.3);
  }, 180_000);
});

describe("a client two versions behind takes plain frames, and keeps nothing of the deltas,", () => {
  it.each<[string, () => Promise<void>]>([
    ["when the first of them yields something else", () => swapFrames(www(FIRST))],
    ["when the pack of the first is taken away", () => rm(www(FIRST))],
    ["when the first is not there at all", () => rm(www(`${FIRST}.index`))],
    ["when the version between is taken away", () => rm(www("Win11_2.ckm.index"))],
  ])(
    "%s",
    async (_, damage) => {
      await twoBehind("a");
      await damage();
      const version = versionOf(await fixture.once("a", SITE), 3);
      expect(version.state).toBe("active");
      expect(await fixture.isIdentical("a", 3)).toBe(true);
      expect(countedBytes(version)).toBe(version.needed);
      expect((await filesOf("a")).filter((file) => /from|_2/.test(file))).toEqual([]);
      expect(sent("Win11_2.ckm")).toBe(0);
    },
    180_000,
  );
});

it("a client that ends between two deltas goes on with the second one", async () => {
  await twoBehind("a");
  fixture.origin.fault = (_request, response, name) => {
    if (name !== SECOND) return false;
    response.writeHead(503, { "retry-after": "60" }).end();
    return true;
  };
  const client = await fixture.client("a", { ...SITE, once: false });
  client.check();
  // The frames of version 2 that are wanted have room, too.
  await vi.waitFor(
    () => expect(versionOf(client.status(), 3).spaceNeeded?.delta).toBeGreaterThan(48 * 60_000),
    60_000,
  );
  // All of version 2 that is wanted has been made.
  await vi.waitFor(
    () => expect(versionOf(client.status(), 3).bytes.delta).toBeGreaterThan(48 * 60_000),
    60_000,
  );
  await client.close();
  fixture.origin.fault = undefined;
  fixture.origin.bytesOf.clear();
  const version = versionOf(await fixture.once("a", SITE), 3);
  expect(await fixture.isIdentical("a", 3)).toBe(true);
  expect(countedBytes(version)).toBe(version.needed);
  expect([sent(FIRST), sent("Win11_2.ckm"), sent("Win11_3.ckm")]).toEqual([0, 0, 0]);
}, 180_000);

describe("a site", () => {
  let tracker: Tracker;
  beforeEach(async () => {
    tracker = await openTracker();
  });
  afterEach(async () => {
    await fixture.close();
    await tracker.close();
  });

  const start = (store: string): Promise<RunningClient> =>
    fixture.client(store, { ...SITE, tracker: tracker.urls[0] ?? "", once: false });

  /** What all of these clients spend on version 3. */
  async function update(stores: readonly string[]): Promise<readonly VersionStatus[]> {
    const clients = await Promise.all(stores.map(start));
    for (const client of clients) client.check();
    await reached(clients, 3);
    const versions = clients.map((client) => versionOf(client.status(), 3));
    for (const version of versions) expect(countedBytes(version)).toBe(version.needed);
    return versions;
  }

  it("of three clients two versions behind pays once for each delta, and less than 1.3 x a direct one", async () => {
    await twoBehind("a", "b", "c");
    const chain = wanBytes(await update(["a", "b", "c"]));
    const sizes = await Promise.all(
      [FIRST, SECOND].flatMap((file) => [file, `${file}.index`, "Win11_3.ckm.index"]).map(sizeOf),
    );
    // The index of version 3 counts twice here: as much comes of that of version 2.
    expect(chain).toBeLessThanOrEqual(1.02 * sizes.reduce((sum, size) => sum + size, -4 * HEAD_BYTES));
    expect([sent("Win11_2.ckm"), sent("Win11_3.ckm")]).toEqual([0, 0]);
    await fixture.makeDelta(1, 3);
    const direct = await Promise.all([DIRECT, `${DIRECT}.index`, "Win11_3.ckm.index"].map(sizeOf));
    expect(chain / direct.reduce((sum, size) => sum + size, -2 * HEAD_BYTES)).toBeLessThanOrEqual(1.3);
  }, 180_000);

  it("where another client holds the version between pays for the second delta only", async () => {
    await twoBehind("a", "k");
    fixture.origin.publish("Win11", 2);
    await fixture.once("k", SITE);
    fixture.origin.publish("Win11", 3);
    fixture.origin.bytesOf.clear();
    const versions = await update(["a", "k"]);
    expect([sent(FIRST), sent("Win11_2.ckm"), sent("Win11_3.ckm")]).toEqual([0, 0, 0]);
    const sizes = await Promise.all([SECOND, `${SECOND}.index`, "Win11_3.ckm.index"].map(sizeOf));
    expect(wanBytes(versions)).toBeLessThanOrEqual(1.02 * sizes.reduce((sum, size) => sum + size));
  }, 180_000);
});

function wanBytes(versions: readonly VersionStatus[]): number {
  return versions.reduce((sum, { bytes, wasted }) => sum + bytes.origin + wasted.origin, 0);
}

function sent(file: string): number {
  return fixture.origin.bytesOf.get(file) ?? 0;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(www(file))).size;
}

function www(file: string): string {
  return join(fixture.dir, "www", file);
}

async function filesOf(store: string): Promise<readonly string[]> {
  return await readdir(join(fixture.store(store), "images", "Win11"));
}
