import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { MIB } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { type Branch, type BranchOptions, withBranch } from "../lab/branch.js";
import type { BranchClient } from "../lab/branch-client.js";
import { labAvailable } from "../lab/lab.js";

const reason = labAvailable();
if (reason !== undefined) process.stderr.write(`tests of faults in a branch skipped: ${reason}\n`);

const IMAGE = "FAULTS";
const CLIENTS = 4;
const DISK_MIB = 32;
/** 32 MiB take 11 s: a middle for the fault, although progress is told once a second only. */
const WAN_MBIT = 25;
/**
 * The bar for faults, of 256 MiB, headers (1.05) included; a span that has to come again weighs eight times as
 * much in 32 MiB.
 */
const MAX_COPIES = 1.12;
const SPAN_SHARE = 2 / DISK_MIB;
const EXIT_NO_SPACE = 5;
/** In a second: less than one frame, so nobody fetches. */
const QUIET_BYTES = 48 * 1024;

/** A branch with an image at its origin and cold clients, and what they took from the WAN. */
async function inBranch(
  use: (branch: Branch, copies: () => Promise<number>) => Promise<void>,
  more: Partial<BranchOptions> = {},
): Promise<void> {
  const options = { clients: CLIENTS + 1, wanMbit: WAN_MBIT, mib: DISK_MIB, limitSeconds: 90, ...more };
  await withBranch(options, async (branch) => {
    branch.pack(IMAGE, 1);
    await branch.startServers();
    const before = await branch.lab.stats();
    await use(branch, async () => {
      const { wan } = await branch.lab.stats(before);
      const copies = (wan.get("site1")?.down ?? 0) / branch.sizeOf(IMAGE, 1);
      process.stdout.write(`lab: ${expect.getState().currentTestName}: WAN ${copies.toFixed(3)} copies\n`);
      return copies;
    });
  });
}

function startClients(branch: Branch, count = CLIENTS): void {
  for (let n = 1; n <= count; n++) branch.startClient(`s1c${n}`, IMAGE);
}

/** Every client has the files of the origin, and counted each row once. */
async function expectComplete(branch: Branch, clients: readonly BranchClient[]): Promise<void> {
  const isDone = await branch.complete(clients, 1);
  // What went wrong stands in the failure.
  expect(isDone ? [] : clients.filter((c) => !c.isComplete(1)).map((c) => [c.host, c.problems])).toEqual([]);
  expect(branch.sameFiles(IMAGE, 1, clients)).toBe(true);
  for (const client of clients) expect(client.counts.get(1)?.held).toBe(client.counts.get(1)?.needed);
}

describe.skipIf(reason !== undefined)("a branch office in trouble", () => {
  it("passes over the work of a client that dies in the middle of its spans", async () => {
    await inBranch(async (branch, copies) => {
      startClients(branch);
      expect(await branch.until(() => branch.progress(1) > 0.5)).toBe(true);
      const victim = branch.fetcher(1);
      await victim.kill();
      const others = branch.clients.filter((c) => c !== victim);
      expect(others.some((c) => c.isComplete(1))).toBe(false);
      await expectComplete(branch, others);
      // What the victim had not passed on is gone: less than a span.
      expect(await copies()).toBeLessThan(MAX_COPIES + SPAN_SHARE);
    });
  });

  it("does not need the tracker once the clients know each other", async () => {
    await inBranch(async (branch, copies) => {
      startClients(branch);
      expect(await branch.until(() => branch.progress(1) > 0.25)).toBe(true);
      branch.tracker?.kill("SIGKILL");
      expect(branch.clients.some((c) => c.isComplete(1))).toBe(false);
      await expectComplete(branch, branch.clients);
      expect(await copies()).toBeLessThan(MAX_COPIES);
    });
  });

  it("completes without the origin when the site holds everything in union", async () => {
    await inBranch(
      async (branch, copies) => {
        startClients(branch);
        expect(await branch.until(() => branch.progress(1) > 0.3)).toBe(true);
        while (!(await isWanQuiet(branch)));
        branch.origin?.kill("SIGKILL");
        // Each has its part of it, and the ports are too slow to have passed on the others.
        expect(branch.clients.some((c) => c.isComplete(1))).toBe(false);
        await expectComplete(branch, branch.clients);
        // Ports at a sixth of the WAN's rate hold claims up behind pieces: what a site fetches twice under that is
        // not what this is about, only that there is an end to it.
        expect(await copies()).toBeLessThan(1.5);
      },
      { lanMbit: 8, mib: DISK_MIB / 2 },
    );
  });

  it("goes on where it was when the origin comes back", async () => {
    await inBranch(async (branch, copies) => {
      startClients(branch);
      expect(await branch.until(() => branch.progress(1) > 0.3)).toBe(true);
      branch.origin?.kill("SIGKILL");
      expect(
        await branch.until(() =>
          branch.clients.some((c) => c.problems.includes("rows not fetched at the origin")),
        ),
      ).toBe(true);
      expect(branch.clients.some((c) => c.isComplete(1))).toBe(false);
      await branch.startOrigin();
      await expectComplete(branch, branch.clients);
      expect(await copies()).toBeLessThan(MAX_COPIES + SPAN_SHARE);
    });
  });

  it("bans an insider that sends wrong bytes, and completes", async () => {
    await inBranch(async (branch, copies) => {
      const peers = Array.from({ length: CLIENTS }, (_, i) => `${branch.lab.address(`s1c${i + 1}`)}:7650`);
      const links: { readonly peer: string; readonly pieces: number }[] = [];
      const hostile = branch.lab.spawn(`s1c${CLIENTS + 1}`, hostilePeer(branch, peers), {
        stdio: ["ignore", "pipe", "inherit"],
      });
      if (hostile.stdout === null) throw new Error("unreachable: stdout is no pipe");
      const lines = hostile.stdout.setEncoding("utf8");
      await once(lines, "data");
      lines.on("data", (text: string) => {
        for (const line of text.trim().split("\n")) links.push(JSON.parse(line));
      });
      startClients(branch);
      await expectComplete(branch, branch.clients);
      const rejected = branch.clients.filter((c) => (c.counts.get(1)?.rejected ?? 0) > 0);
      expect(rejected.length).toBeGreaterThan(0);
      // Its second bad row ends it, on one link or on two, although it dials twice a second.
      const fooled = links.filter((l) => l.pieces > 0).map((l) => l.peer);
      expect(fooled.length).toBeGreaterThanOrEqual(rejected.length);
      for (const peer of new Set(fooled))
        expect(fooled.filter((p) => p === peer).length).toBeLessThanOrEqual(2);
      expect(await copies()).toBeLessThan(1.5);
    });
  });

  it("is not held up by a client whose disk is full, which goes on when there is room", async () => {
    await inBranch(async (branch, copies) => {
      const store = join(branch.folder, "s1c1");
      mkdirSync(store);
      // Room for the pair and the 64 MiB that a store leaves free.
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB + 64 + 16}m`, "tmpfs", store]);
      try {
        startClients(branch);
        const [full, ...others] = branch.clients;
        if (full === undefined) throw new Error("unreachable: no client");
        expect(await branch.until(() => (full.counts.get(1)?.held ?? 0) > 4 * MIB)).toBe(true);
        const ballast = join(store, "ballast");
        fill(ballast, store);
        expect(await full.exited).toBe(EXIT_NO_SPACE);
        expect(full.exitError).toBe("ERR_STORE_FULL");
        await expectComplete(branch, others);
        rmSync(ballast);
        const fromOrigin = full.counts.get(1)?.origin ?? 0;
        branch.startClient(full.host, IMAGE);
        await expectComplete(branch, branch.clients);
        // The second run found the rest at the others.
        expect(full.counts.get(1)?.origin).toBeLessThanOrEqual(fromOrigin + 2 * MIB);
        expect(await copies()).toBeLessThan(MAX_COPIES + SPAN_SHARE);
      } finally {
        // Namespaces of clients that still run hold it too.
        execFileSync("umount", ["--lazy", store]);
      }
    });
  });
});

/** Looks for a second whether anything but ACKs and questions crosses the WAN. */
async function isWanQuiet(branch: Branch): Promise<boolean> {
  const before = await branch.lab.stats();
  await sleep(1000);
  const { wan } = await branch.lab.stats(before);
  return (wan.get("site1")?.down ?? 0) < QUIET_BYTES;
}

function hostilePeer(branch: Branch, peers: readonly string[]): readonly string[] {
  const tsx = createRequire(import.meta.url).resolve("tsx");
  const script = fileURLToPath(new URL("../lab/hostile-peer.ts", import.meta.url));
  const index = join(branch.root, `${IMAGE}_1.ckm.index`);
  return [process.execPath, "--import", tsx, script, index, "7650", ...peers];
}

/** Takes all the space that is left. */
function fill(path: string, folder: string): void {
  const file = openSync(path, "w");
  try {
    const { bavail, bsize } = statfsSync(folder);
    const block = Buffer.alloc(MIB, 1);
    for (let left = bavail * bsize; left > 0; left -= block.byteLength) writeSync(file, block);
  } catch (err) {
    if (!(err instanceof Error && "code" in err && err.code === "ENOSPC")) throw err;
  } finally {
    closeSync(file);
  }
}
