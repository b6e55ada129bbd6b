import { appendFile, open, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { VersionStatus } from "@ckmesh/client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";

const config = { materialize: "raw", keep: 1 } as const;

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => await fixture.close());

const file = (name: string): string => join(fixture.store("one"), "images", "Win11", name);
const pack = (): string => file("Win11_1.ckm");

/** Version 1 is active; version 2, of which 16 frames resemble it, and a delta lie at the origin. */
async function updateAfter(damage: () => Promise<void>): Promise<VersionStatus> {
  await fixture.publish(1, 8);
  await fixture.once("one", config);
  await damage();
  await fixture.publish(2, 8, { edited: 16, deltas: [1] });
  fixture.origin.bytesOf.clear();
  const status = await fixture.once("one", config);
  const found = versionOf(status, 2);
  expect(status.images[0]).toMatchObject({ active: 2 });
  expect(status.images[0]?.lastError).toBeUndefined();
  expect(found).toMatchObject({ state: "active", disk: "Win11_2.img" });
  expect(await fixture.isIdentical("one", 2)).toBe(true);
  expect(countedBytes(found)).toBe(found.needed);
  return found;
}

describe("an active version that is damaged on the disk gives way to the next one, and its frames that are right are the base of the delta", () => {
  it("when its pack was cut", async () => {
    const found = await updateAfter(async () => await truncate(pack(), (await stat(pack())).size - 4096));
    expect(found.bytes.delta).toBeGreaterThan(14 * 60_000);
    expect(sent("Win11_2.ckm")).toBe(0);
  });

  it("when half of its pack is gone: what needs that comes as it is, all else by the delta", async () => {
    // The edited frames come first; of those behind, which both versions have, none is left.
    const found = await updateAfter(async () => await truncate(pack(), 8 * 65_536));
    expect(found.bytes.delta).toBeGreaterThan(7 * 60_000);
    const { size } = await stat(join(fixture.dir, "www", "Win11_2.ckm"));
    expect(sent("Win11_2.ckm")).toBeLessThan(size - 7 * 60_000);
  });

  it("when something was appended to its pack", async () => {
    const found = await updateAfter(() => appendFile(pack(), "more"));
    expect(found.bytes.delta).toBeGreaterThan(16 * 60_000);
    expect(sent("Win11_2.ckm")).toBe(0);
  });

  it("when its index is damaged: the pieces that are come again", async () => {
    const found = await updateAfter(async () => await overwrite(`${pack()}.index`, 4096 + 500));
    expect(found.bytes.delta).toBeGreaterThan(16 * 60_000);
    expect(sent("Win11_2.ckm")).toBe(0);
    expect(sent("Win11_1.ckm")).toBe(0);
  });

  it("when its pack is gone and its disk is not: the frames are made from that", async () => {
    const found = await updateAfter(() => rm(pack()));
    expect(found.bytes.delta).toBeGreaterThan(16 * 60_000);
    expect(sent("Win11_2.ckm") + sent("Win11_1.ckm")).toBe(0);
  });
});

function sent(name: string): number {
  return fixture.origin.bytesOf.get(name) ?? 0;
}

async function overwrite(path: string, position: number): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.write(Buffer.alloc(4, 0xa5), 0, 4, position);
  } finally {
    await handle.close();
  }
}
