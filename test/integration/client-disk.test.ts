import { execFileSync } from "node:child_process";
import { appendFile, readdir, readFile, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { type CloneFolder, openCloneFolder } from "@ckmesh/testkit";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";
import { packElsewhere } from "./forged-index.js";

const clones: CloneFolder | undefined = openCloneFolder("clients on a file system that clones files");
let fixture: Fixture;

beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => await fixture.close());
afterAll(() => clones?.close());

async function freeBytes(dir: string): Promise<number> {
  execFileSync("sync", ["-f", dir]);
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

describe.skipIf(clones === undefined)("a client on a file system that clones files", () => {
  const dir = clones?.dir ?? "";
  afterEach(async () => {
    for (const name of await readdir(dir)) await rm(join(dir, name), { recursive: true });
    await freeBytes(dir); // btrfs counts them when they are on the disk
  });

  it("updates its disk by the space of what changed", async () => {
    const config = { store: join(dir, "one"), materialize: "raw" as const };
    await fixture.publish(1, 12);
    await fixture.once("one", config);
    await fixture.publish(2, 12, { changed: 3 });
    const before = await freeBytes(dir);
    const status = await fixture.once("one", config);
    expect(versionOf(status, 2)).toMatchObject({ state: "active", disk: "Win11_2.img" });
    // 6 MiB of a second pack, but no second disk of 9 MiB.
    expect(before - (await freeBytes(dir))).toBeLessThan(11 * MIB);
  });

  it("fetches no frame of a version whose disk would not fit", async () => {
    await fixture.publish(1, 12);
    const spare = (await freeBytes(dir)) - (64 + 12) * MIB;
    execFileSync("fallocate", ["-l", String(spare), join(dir, "filler")]);
    const config = { store: join(dir, "two"), materialize: "raw" as const };
    try {
      await expect(fixture.once("two", config)).rejects.toMatchObject({ code: "ERR_STORE_FULL" });
      expect(fixture.origin.bytesOf.get("Win11_1.ckm")).toBeUndefined();
    } finally {
      await rm(join(dir, "filler"));
    }
  });

  it("takes plain frames where there is no room for those that it would have to keep decoded", async () => {
    const config = { store: join(dir, "three"), materialize: "raw" as const };
    await fixture.publish(1, 12);
    await fixture.once("three", config);
    await fixture.publish(2, 12, { edited: 96 });
    await packElsewhere(join(fixture.dir, "www", "Win11_2.ckm"));
    await fixture.makeDelta(1, 2);
    // 6 MiB of a pack and 6 MiB of a disk have room, and 6 MiB of decoded frames have not.
    const spare = (await freeBytes(dir)) - (64 + 15) * MIB;
    execFileSync("fallocate", ["-l", String(spare), join(dir, "filler")]);
    try {
      const version = versionOf(await fixture.once("three", config), 2);
      expect([version.state, version.bytes.delta]).toEqual(["active", 0]);
    } finally {
      await rm(join(dir, "filler"));
    }
  });
});

describe("a client that seeds no packs", () => {
  it("keeps disk and index only, and takes the old frames of each update from the disk", async () => {
    const config = { materialize: "original", seedPacks: false } as const;
    await fixture.publish(1, 4);
    for (const version of [1, 2, 3]) {
      // From the second version on, its pack keeps frames with sectors that no disk shows any more.
      if (version > 1) await fixture.publish(version, 4, { changed: 3 });
      const found = versionOf(await fixture.once("one", config), version);
      expect(found).toMatchObject({ state: "active", packShed: true, disk: `Win11_${version}.img` });
      expect(Object.values(found.bytes).reduce((sum, n) => sum + n)).toBe(found.needed);
      expect(found.bytes.origin).toBeLessThan(version === 1 ? Number.POSITIVE_INFINITY : MIB / 4);
      expect(await fixture.isIdentical("one", version).catch(() => "no pack")).toBe("no pack");
    }
    // Switched on again: the pack comes back, with no byte from the origin.
    const { bytes } = fixture.origin;
    const status = await fixture.once("one", { ...config, seedPacks: true });
    expect(versionOf(status, 3).packShed).toBeUndefined();
    expect(await fixture.isIdentical("one", 3)).toBe(true);
    expect(fixture.origin.bytes).toBe(bytes);
  });

  it("updates by a delta from frames that it takes from its disk", async () => {
    const config = { materialize: "original", seedPacks: false } as const;
    await fixture.publish(1, 4);
    await fixture.once("one", config);
    await fixture.publish(2, 4, { edited: 16, deltas: [1] });
    fixture.origin.bytesOf.clear();
    const found = versionOf(await fixture.once("one", config), 2);
    expect(found).toMatchObject({ state: "active", packShed: true, disk: "Win11_2.img" });
    expect(found.bytes.delta).toBeGreaterThan(16 * 60_000);
    expect(countedBytes(found)).toBe(found.needed);
    expect(found.wasted.origin).toBe(0);
    expect(fixture.origin.bytesOf.get("Win11_2.ckm")).toBeUndefined();
    const disk = await readFile(join(fixture.store("one"), "images/Win11/Win11_2.img"));
    expect(disk.equals(await readFile(join(fixture.dir, "disk.img")))).toBe(true);
  });

  it("gives no pack up for a disk that somebody wrote to", async () => {
    await fixture.publish(1, 4);
    await fixture.once("one", { materialize: "raw" });
    await appendFile(join(fixture.store("one"), "images/Win11/Win11_1.img"), "x");
    await fixture.publish(2, 4, { changed: 3 });
    const status = await fixture.once("one", { materialize: "raw", seedPacks: false });
    expect([versionOf(status, 2).packShed, versionOf(status, 1).packShed]).toEqual([true, undefined]);
    expect(await fixture.isIdentical("one", 1)).toBe(true);
  });

  it("makes a pack again from the disk in the format that it has, whatever the configuration says by then", async () => {
    await fixture.publish(1, 4);
    await fixture.once("one", { materialize: "vhd", seedPacks: false });
    const status = await fixture.once("one", { materialize: "raw" });
    expect(versionOf(status, 1)).toMatchObject({ state: "active", disk: "Win11_1.vhd" });
    expect(await fixture.isIdentical("one", 1)).toBe(true);
  });
});
