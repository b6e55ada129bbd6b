import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { Level } from "level";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SnapshotStore } from "../src/snapshot-store.js";
import type { RememberedSwarm } from "../src/swarm-table.js";

const NOW = 1_700_000_000_000;
let folder = "";
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "ckmesh-snapshot-")), "db");
});
afterEach(() => rm(join(folder, ".."), { recursive: true, force: true }));

function swarm(n: number, peers = 1): RememberedSwarm {
  return {
    key: `${n.toString(16).padStart(2, "0").repeat(32)} 1 label Zürich`,
    swarm: new Uint8Array(32).fill(n),
    peers: Array.from({ length: peers }, (_, i) => ({
      peerId: i.toString(16).padStart(64, "0"),
      offers: [{ address: `10.0.0.${i + 1}`, port: 7650 }],
    })),
  };
}

async function reopened(): Promise<readonly RememberedSwarm[]> {
  const store = await SnapshotStore.open(folder, silentLogger);
  const found = await store.load(NOW);
  await store.close();
  return found;
}

async function saved(swarms: readonly RememberedSwarm[], wall: number): Promise<void> {
  const store = await SnapshotStore.open(folder, silentLogger);
  await store.save(swarms, wall);
  await store.close();
}

describe("SnapshotStore", () => {
  it("gives back what was saved, and not what was deleted", async () => {
    await saved([swarm(1), swarm(2, 50)], NOW);
    await saved([swarm(1, 0)], NOW);
    const [found, ...rest] = await reopened();
    expect(rest).toEqual([]);
    expect(found?.key).toBe(swarm(2).key);
    expect([...(found?.swarm ?? [])]).toEqual([...swarm(2).swarm]);
    expect(found?.peers).toEqual(swarm(2, 50).peers);
  });

  it("drops rows that are older than 10 minutes or of the future", async () => {
    await saved([swarm(1)], NOW - 600_001);
    await saved([swarm(2)], NOW - 600_000);
    await saved([swarm(3)], NOW + 1);
    expect((await reopened()).map((s) => s.key)).toEqual([swarm(2).key]);
  });

  it("drops rows that are damaged and keeps the others", async () => {
    await saved([swarm(1)], NOW);
    const level = new Level<string, Uint8Array>(folder, { valueEncoding: "view" });
    await level.put(swarm(2).key, new Uint8Array([0xc1, 0xff]));
    await level.put("short key", new Uint8Array([0x80]));
    await level.close();
    expect((await reopened()).map((s) => s.key)).toEqual([swarm(1).key]);
  });

  it("starts empty when the database is damaged", async () => {
    await saved([swarm(1)], NOW);
    for (const name of await readdir(folder)) {
      // oxlint-disable-next-line no-await-in-loop -- a handful of files
      if (/^(MANIFEST|CURRENT)/.test(name)) await writeFile(join(folder, name), "garbage");
    }
    expect(await reopened()).toEqual([]);
  });

  it("refuses a second tracker on the same folder with ERR_STORE_BUSY", async () => {
    const store = await SnapshotStore.open(folder, silentLogger);
    await expect(SnapshotStore.open(folder, silentLogger)).rejects.toMatchObject({ code: "ERR_STORE_BUSY" });
    await store.close();
  });

  it("says when the folder cannot be made", async () => {
    const file = join(folder, "..", "file");
    await writeFile(file, "");
    await expect(SnapshotStore.open(join(file, "db"), silentLogger)).rejects.toMatchObject({
      code: "ERR_STORE_CORRUPT",
    });
  });
});
