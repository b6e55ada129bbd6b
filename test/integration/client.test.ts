import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunningClient } from "@ckmesh/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";

describe("client against a stock web server", () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.create();
  });
  afterEach(() => fixture.close());

  it("ends with a byte-identical pair, each row counted once", async () => {
    await fixture.publish(1, 8);
    const status = await fixture.once("a");
    const version = versionOf(status, 1);
    expect(version.state).toBe("active");
    expect(await fixture.isIdentical("a", 1)).toBe(true);
    expect(countedBytes(version)).toBe(version.needed);
    expect(version.bytes.origin).toBe(version.needed);
  });

  it("takes from a peer what a peer has, and only the head from the origin", async () => {
    await fixture.publish(1, 8);
    const a = await fixture.client("a", { allowOpenSwarm: true, seedFor: 60 });
    await settled(a);
    await fixture.remember("b", a.peerPort);
    fixture.origin.served.length = 0;
    const version = versionOf(await fixture.once("b", { allowOpenSwarm: true }), 1);
    expect(await fixture.isIdentical("b", 1)).toBe(true);
    expect(version.bytes).toMatchObject({ peers: version.needed, origin: 0 });
    expect(version.wasted).toEqual({ rejected: 0, duplicate: 0, retried: 0, origin: 0 });
    expect(fixture.origin.served).toEqual(["Win11.ckm.index"]);
  });

  it("takes a foreign pack by the index beside the foreign one, and ends it verified", async () => {
    await fixture.publishForeign(1, 3_000_000);
    const version = versionOf(await fixture.once("a"), 1);
    expect(version.state).toBe("verified");
    expect(version.bytes.origin).toBe(version.needed);
    const pack = await readFile(join(fixture.store("a"), "images/Win11/Win11_1.ckm"));
    expect(Buffer.compare(pack, await readFile(join(fixture.dir, "www/Win11_1.ckm")))).toBe(0);
    // After a restart too: the record says which of the two indexes it is.
    expect(versionOf(await fixture.once("a"), 1).state).toBe("verified");
  });

  it("moves for an update only what changed", async () => {
    await fixture.publish(1, 8);
    await fixture.once("a");
    await fixture.publish(2, 8, { changed: 4 });
    const version = versionOf(await fixture.once("a"), 2);
    expect(await fixture.isIdentical("a", 2)).toBe(true);
    expect(countedBytes(version)).toBe(version.needed);
    expect(version.bytes.previous).toBeGreaterThan(version.needed * 0.8);
    // Nor is fetched what follows from the older index.
    expect(version.wasted.duplicate).toBe(0);
  });

  it("splits the WAN between clients that begin together", async () => {
    await fixture.publish(1, 24);
    const a = await fixture.client("a", { allowOpenSwarm: true, seedFor: 60 });
    await fixture.remember("b", a.peerPort);
    const b = await fixture.client("b", { allowOpenSwarm: true, seedFor: 60 });
    await Promise.all([settled(a), settled(b)]);
    const [va, vb] = [versionOf(a.status(), 1), versionOf(b.status(), 1)];
    expect(countedBytes(va)).toBe(va.needed);
    expect(countedBytes(vb)).toBe(vb.needed);
    expect(va.bytes.origin + vb.bytes.origin).toBeLessThan(va.needed * 1.1);
    expect(await fixture.isIdentical("a", 1)).toBe(true);
    expect(await fixture.isIdentical("b", 1)).toBe(true);
  });
});

/** Waits until the newest version of the one image is where its policy lets it go. */
async function settled(client: RunningClient): Promise<void> {
  await vi.waitFor(() => expect(client.status().images[0]?.versions[0]?.state).toBe("active"), {
    timeout: 30_000,
    interval: 50,
  });
}
