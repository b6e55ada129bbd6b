import { randomFillSync } from "node:crypto";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { assertSameFiles, type ClientResult, LoopbackFleet } from "@ckmesh/cli";
import { MIB } from "@ckmesh/core";
import { expect, it } from "vitest";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();
const SITES = ["north", "south"] as const;
const PER_SITE = 3;
const DISK_BYTES = 48 * MIB;
const CHANGED_BYTES = 2 * MIB;
/** Slow enough that there is a middle to crash in: 48 MiB take a site some 8 s. */
const WAN_BUDGET = "48M";

function originBytesOf(results: readonly ClientResult[], site: string): number {
  return results
    .filter((r) => r.site === site)
    .reduce((sum, r) => sum + r.bytes.origin + r.wastedOriginBytes, 0);
}

it("brings six clients through crashes of a client and the tracker to identical stores, then moves only changes", async ({
  signal,
}) => {
  const folder = tempFolder();
  const disk = join(folder, "disk.img");
  writeFileSync(disk, randomFillSync(new Uint8Array(DISK_BYTES)));
  const fleet = new LoopbackFleet(folder, signal);
  try {
    await fleet.startServers();
    await fleet.run("pack", ["pack", disk, "--name", "E2E", "--out", fleet.root]);
    await fleet.published("E2E", 1);
    await fleet.startClients(SITES, PER_SITE, ["--wan-budget", WAN_BUDGET]);

    await fleet.reaches(1, 0.3);
    const middle = fleet.progress(1);
    expect(middle.bytesDone / middle.bytesTotal).toBeLessThan(0.9);
    const [victim] = fleet.clients;
    expect(victim).toBeDefined();
    if (victim !== undefined) await fleet.crashClient(victim);
    await fleet.crashTracker();
    const first = await fleet.complete("E2E", 1, () => {});

    const file = openSync(disk, "r+");
    writeSync(file, randomFillSync(new Uint8Array(CHANGED_BYTES)), 0, CHANGED_BYTES, 8 * MIB);
    closeSync(file);
    const packed = await fleet.run("pack", [
      "pack",
      disk,
      "--name",
      "E2E",
      "--out",
      fleet.root,
      "--previous",
      fleet.root,
    ]);
    const newBytes = packed.int("newBytes", 0, DISK_BYTES);
    const indexBytes = packed.int("indexBytes", 0, DISK_BYTES);
    expect(newBytes).toBeLessThan(CHANGED_BYTES * 1.1);
    const second = await fleet.complete("E2E", 2, () => {});
    await fleet.stop();

    await assertSameFiles(
      fleet.root,
      fleet.clients.map(({ store }) => store),
      "E2E",
      [1, 2],
    );
    for (const { bytes, neededBytes } of [...first, ...second]) {
      expect(bytes.previous + bytes.peers + bytes.origin).toBe(neededBytes);
    }
    // A site of three without sharing would need three copies.
    for (const site of SITES) expect(originBytesOf(first, site)).toBeLessThan(DISK_BYTES * 1.5);
    for (const { bytes } of second) {
      expect(bytes.previous).toBeGreaterThan((DISK_BYTES - CHANGED_BYTES) * 0.95);
      expect(bytes.peers + bytes.origin).toBeLessThanOrEqual(newBytes + indexBytes);
    }
    for (const site of SITES) expect(originBytesOf(second, site)).toBeLessThan((newBytes + indexBytes) * 1.5);
  } finally {
    await fleet.stop();
  }
});
