import { join } from "node:path";
import type { RunningClient } from "@ckmesh/client";
import { toHex } from "@ckmesh/core";
import { openIndex } from "@ckmesh/store";
import type { Tracker } from "@ckmesh/tracker";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { countedBytes, Fixture, openTracker, reached, versionOf } from "./client-fixture.js";

/** What a head takes on the WAN. */
const HEAD_BYTES = 4096;

describe("across versions", () => {
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

  const start = (store: string): Promise<RunningClient> =>
    fixture.client(store, {
      once: false,
      allowOpenSwarm: true,
      site: "north",
      tracker: tracker.urls[0] ?? "",
      materialize: "off",
    });

  it("a cold client takes from peers of the previous version what did not change, and they update from it", async () => {
    await fixture.publish(1, 24);
    const old = await Promise.all(["a", "b", "c", "d", "e"].map(start));
    await reached(old, 1);
    await fixture.publish(2, 24, { renewed: 10 });
    const needed = await newBytes(fixture);
    fixture.origin.bytes = 0;

    const cold = await start("cold");
    await reached([cold], 2);
    const fresh = versionOf(cold.status(), 2);
    expect(await fixture.isIdentical("cold", 2)).toBe(true);
    expect(countedBytes(fresh)).toBe(fresh.needed);
    expect(fresh.bytes.origin + fresh.wasted.origin).toBeLessThanOrEqual(1.02 * needed);
    // Beside its rows, two heads: of this version and of the previous one.
    expect(fixture.origin.bytes).toBe(fresh.bytes.origin + fresh.wasted.origin + 2 * HEAD_BYTES);

    fixture.origin.bytes = 0;
    tracker.publish({ image: "Win11", version: 2 });
    await reached(old, 2);
    for (const client of old) {
      const version = versionOf(client.status(), 2);
      expect(countedBytes(version)).toBe(version.needed);
      expect(version.bytes.origin + version.wasted.origin).toBe(0);
    }
    expect(fixture.origin.bytes).toBe(old.length * HEAD_BYTES);
  }, 120_000);

  it.each([
    ["that join the swarm of the previous version", true],
    ["that rely on what the others promise", false],
  ])(
    "clients that update and cold ones %s share one copy of what is new",
    async (_, hasPreviousHead) => {
      fixture.origin.fault = (_request, response, name) => {
        if (hasPreviousHead || name !== "Win11_1.ckm.index" || !isPublished) return false;
        response.writeHead(404).end();
        return true;
      };
      let isPublished = false;
      await fixture.publish(1, 24);
      const old = await Promise.all(["a", "b", "c"].map(start));
      await reached(old, 1);
      await fixture.publish(2, 24, { renewed: 10 });
      const needed = await newBytes(fixture);
      isPublished = true;

      tracker.publish({ image: "Win11", version: 2 });
      const cold = await Promise.all(["x", "y", "z"].map(start));
      const all = [...old, ...cold];
      await reached(all, 2);
      let wan = 0;
      for (const client of all) {
        const version = versionOf(client.status(), 2);
        expect(countedBytes(version)).toBe(version.needed);
        wan += version.bytes.origin + version.wasted.origin;
      }
      expect(wan).toBeLessThanOrEqual(1.02 * needed);
      expect(await fixture.isIdentical("x", 2)).toBe(true);
    },
    120_000,
  );

  it("a client that finds nobody with the previous version loses nothing", async () => {
    await fixture.publish(1, 8);
    await fixture.publish(2, 8, { renewed: 4 });
    const client = await start("cold");
    await reached([client], 2);
    const version = versionOf(client.status(), 2);
    expect(version.bytes.origin).toBe(version.needed);
    expect(version.wasted.origin).toBe(0);
    expect(fixture.origin.served).toContain("Win11_1.ckm.index");
    expect(fixture.origin.served).not.toContain("Win11_1.ckm");
  });

  it.each([
    ["is not at the origin any more, as on a server that has only the alias", undefined],
    ["is another one than the newer version was made from", "Win11_2.ckm.index"],
  ])("a previous head that %s is passed over", async (_, instead) => {
    await fixture.publish(1, 8);
    const old = await start("a");
    await reached([old], 1);
    await fixture.publish(2, 8, { renewed: 4 });
    if (instead !== undefined) fixture.origin.aliases.set("Win11_1.ckm.index", instead);
    fixture.origin.fault = (_request, response, name) => {
      if (instead !== undefined || name !== "Win11_1.ckm.index") return false;
      response.writeHead(404).end();
      return true;
    };
    const cold = await start("cold");
    await reached([cold], 2);
    const version = versionOf(cold.status(), 2);
    expect(version.bytes).toMatchObject({ peers: 0, origin: version.needed });
    expect(version.error).toBeUndefined();
  });

  it("joins no swarm of the previous version where its own would not be private", async () => {
    await fixture.publish(1, 8);
    await fixture.publish(2, 8, { renewed: 4 });
    await fixture.once("cold");
    expect(fixture.origin.served).not.toContain("Win11_1.ckm.index");
  });
});

/** Bytes of the index of version 2, and of its frames that version 1 has not. */
async function newBytes(fixture: Fixture): Promise<number> {
  const [old, next] = await Promise.all([1, 2].map((version) => readIndex(fixture, version)));
  if (old === undefined || next === undefined) throw new Error("no index");
  const known = new Set(Array.from({ length: old.frames.count }, (_, i) => toHex(old.frames.hash(i))));
  let bytes = next.sectionBytes;
  for (let i = 0; i < next.frames.count; i++)
    if (!known.has(toHex(next.frames.hash(i)))) bytes += next.frames.packedLength(i);
  return bytes;
}

async function readIndex(fixture: Fixture, version: number) {
  const index = await openIndex(join(fixture.dir, "www", `Win11_${version}.ckm.index`));
  const sectionBytes = index.head.sections.reduce((sum, { length }) => sum + length, 0);
  return { frames: await index.frames(), sectionBytes };
}
