import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MIB } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import type { Branch } from "../lab/branch.js";
import { labAvailable } from "../lab/lab.js";
import {
  CLIENTS,
  DISK_MIB,
  expectComplete,
  IMAGE,
  inBranch,
  MAX_COPIES,
  SPAN_SHARE,
  startClients,
} from "./troubled-branch.js";

const reason = labAvailable();
if (reason !== undefined) process.stderr.write(`tests of faults in a branch skipped: ${reason}\n`);

const EXIT_NO_SPACE = 5;

describe.skipIf(reason !== undefined)("a branch office with a client in trouble", () => {
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
