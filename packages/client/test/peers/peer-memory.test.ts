import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PeerMemory } from "../../src/peers/peer-memory.js";

describe("peer memory", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "ckmesh-peers-"));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const load = (): Promise<PeerMemory> => PeerMemory.load(join(dir, "peers.json"), silentLogger);

  it("comes back with the last linked peer first, each once", async () => {
    const memory = await load();
    for (const port of [7650, 7651, 7650]) memory.add({ address: "10.0.0.1", port });
    memory.add({ address: "10.0.0.2", port: 0 });
    await memory.save();
    expect((await load()).peers).toEqual([
      { address: "10.0.0.1", port: 7650 },
      { address: "10.0.0.1", port: 7651 },
    ]);
  });

  it("forgets the oldest beyond 100", async () => {
    const memory = await load();
    for (let port = 8000; port < 8150; port++) memory.add({ address: "10.0.0.1", port });
    expect(memory.peers).toHaveLength(100);
    expect(memory.peers[0]?.port).toBe(8149);
  });

  it("takes a damaged or hostile file for an empty one", async () => {
    for (const text of [
      "",
      "[]",
      '{"peers":[{"address":"evil.example","port":1}]}',
      '{"peers":[{"address":"10.0.0.1","port":0}]}',
    ]) {
      await writeFile(join(dir, "peers.json"), text);
      expect((await load()).peers).toEqual([]);
    }
  });
});
