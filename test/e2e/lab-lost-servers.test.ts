import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Branch } from "../lab/branch.js";
import { labAvailable } from "../lab/lab.js";
import {
  DISK_MIB,
  expectComplete,
  inBranch,
  MAX_COPIES,
  SPAN_SHARE,
  startClients,
} from "./troubled-branch.js";

const reason = labAvailable();
if (reason !== undefined) process.stderr.write(`tests of faults in a branch skipped: ${reason}\n`);

/** In a second: less than one frame, so nobody fetches. */
const QUIET_BYTES = 48 * 1024;

describe.skipIf(reason !== undefined)("a branch office that loses a server", () => {
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
});

/** Looks for a second whether anything but ACKs and questions crosses the WAN. */
async function isWanQuiet(branch: Branch): Promise<boolean> {
  const before = await branch.lab.stats();
  await sleep(1000);
  const { wan } = await branch.lab.stats(before);
  return (wan.get("site1")?.down ?? 0) < QUIET_BYTES;
}
