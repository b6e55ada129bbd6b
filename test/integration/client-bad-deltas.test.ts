import { generateKeyPairSync } from "node:crypto";
import { cp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClientConfig } from "@ckmesh/client";
import { toHex } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";
import { openIndex } from "@ckmesh/store";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { countedBytes, Fixture, reached, versionOf } from "./client-fixture.js";
import { nameImpossibleSectors, swapFrames } from "./forged-index.js";

const DELTA = "Win11_2.from_1.ckm";
const HEAD_BYTES = 4096;
/** What the notes beside a pack say of a row that was made of a delta. */
const FROM_DELTA = 2;

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => {
  await fixture.close();
});

const www = (file: string): string => join(fixture.dir, "www", file);
const sent = (file: string): number => fixture.origin.bytesOf.get(file) ?? 0;

/** Version 1 on a client, and version 2 with a delta at the origin. */
async function update(
  options: { mib?: number; signer?: Parameters<Fixture["makeDelta"]>[2] } = {},
): Promise<void> {
  await fixture.publish(1, options.mib ?? 4, options.signer);
  await fixture.once("a");
  await fixture.publish(2, options.mib ?? 4, { edited: 16, deltas: [1], ...options.signer });
  fixture.origin.bytesOf.clear();
}

/** The update of client "a": whatever the delta is, the version comes, and nothing of a delta is left. */
async function result(config: Partial<ClientConfig> = {}) {
  const version = versionOf(await fixture.once("a", config), 2);
  expect(version.state).toBe("active");
  expect(await fixture.isIdentical("a", 2)).toBe(true);
  expect(countedBytes(version)).toBe(version.needed);
  const files = await readdir(join(fixture.store("a"), "images", "Win11"));
  expect(files.filter((file) => file.includes("from"))).toEqual([]);
  return version;
}

const PUBLISHER = generateKeyPairSync("ed25519").privateKey;

it.each<[string, () => Promise<Partial<ClientConfig>>]>([
  [
    "that belongs to another image",
    async () => {
      await update();
      for (const version of [1, 2])
        await fixture.publish(version, 4, { name: "Other", edited: version, deltas: version > 1 ? [1] : [] });
      for (const suffix of ["", ".index"]) await cp(www(`Other_2.from_1.ckm${suffix}`), www(DELTA + suffix));
      return {};
    },
  ],
  [
    "that leads to another version 2",
    async () => {
      await update();
      for (const suffix of ["", ".index"]) await rm(www(`Win11_2.ckm${suffix}`));
      await fixture.publish(2, 4, { renewed: 4 });
      return {};
    },
  ],
  [
    "that nobody signed where a publisher has to",
    async () => {
      await update({ signer: { signer: PUBLISHER } });
      for (const suffix of ["", ".index"]) await rm(www(DELTA + suffix));
      await fixture.makeDelta(1, 2);
      return { publishers: [toHex(publicKeyBytes(PUBLISHER))] };
    },
  ],
])("a delta %s is passed over", async (_, prepare) => {
  const config = await prepare();
  const version = await result(config);
  expect(version.bytes.delta).toBe(0);
  expect(sent(DELTA)).toBe(0);
  expect(sent(`${DELTA}.index`)).toBe(HEAD_BYTES);
});

it("a delta whose frames name sectors that the version has not is dropped as soon as its index is here", async () => {
  await update();
  await nameImpossibleSectors(www(DELTA));
  expect((await result()).bytes.delta).toBe(0);
  expect(sent(DELTA)).toBe(0);
});

it("a delta whose frames yield something else is dropped", async () => {
  await update();
  await swapFrames(www(DELTA));
  // Those that changed places come as plain ones; the others may have been made before.
  expect((await result()).bytes.delta).toBeLessThanOrEqual(14 * 65_536);
  expect(sent("Win11_2.ckm")).toBeGreaterThanOrEqual(2 * 65_536);
});

it.each<[string, () => Promise<void>]>([
  ["whose pack is taken away", () => rm(www(DELTA))],
  ["that is cut short at the origin", () => truncate(www(DELTA), 200)],
  [
    "that is damaged at the origin",
    async () => {
      const bytes = await readFile(www(DELTA));
      await writeFile(www(DELTA), bytes.fill(7, 100));
    },
  ],
])("a delta %s is dropped after a while", async (_, damage) => {
  await update();
  await damage();
  expect((await result()).bytes.delta).toBe(0);
});

it("a delta that is taken away in mid-transfer is dropped, and what has come of it is of use", async () => {
  await update();
  const broken = new AbortController();
  const until = new Promise<void>((_, reject) => {
    broken.signal.addEventListener("abort", () => reject(new Error("the connection ends")));
  });
  fixture.origin.pause = { name: DELTA, until };
  const updated = result();
  const notes = join(fixture.store("a"), "images", "Win11", "Win11_2.ckm.sources");
  await vi.waitFor(async () => expect(await readFile(notes)).toContain(FROM_DELTA), { timeout: 50_000 });
  await rm(www(DELTA));
  broken.abort();
  const { bytes } = await updated;
  expect(bytes.delta).toBeGreaterThan(60_000);
  expect(bytes.origin).toBeGreaterThan(60_000);
  expect(sent("Win11_2.ckm")).toBeLessThan(16 * 65_536);
});

it("damaged frames of the older version are noticed and come again; what they were to yield comes as it is", async () => {
  await fixture.publish(1, 4);
  const client = await fixture.client("a", { once: false });
  await reached([client], 1);
  await fixture.publish(2, 4, { edited: 16, deltas: [1] });
  const old = await (await openIndex(www("Win11_1.ckm.index"))).frames();
  await overwrite(join(fixture.store("a"), "images", "Win11", "Win11_1.ckm"), old.offset(5) + 1000);
  client.check();
  await reached([client], 2);
  const version = versionOf(client.status(), 2);
  expect(await fixture.isIdentical("a", 2)).toBe(true);
  expect(version.bytes.delta).toBeGreaterThan(10 * 60_000);
  expect(sent("Win11_2.ckm")).toBeLessThan(6 * 70_000);
  await vi.waitFor(async () => expect(await fixture.isIdentical("a", 1)).toBe(true), { timeout: 10_000 });
});

async function overwrite(path: string, position: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.write(Buffer.alloc(64, 1), 0, 64, position);
  } finally {
    await file.close();
  }
}
