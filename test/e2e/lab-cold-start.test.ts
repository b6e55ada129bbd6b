import { describe, expect, it } from "vitest";
import { coldStart, withBranch } from "../lab/branch.js";
import { labAvailable } from "../lab/lab.js";

const reason = labAvailable();

describe.skipIf(reason !== undefined)("a branch office behind a thin link", () => {
  it("brings six clients one image of 32 MiB over 50 Mbit/s once", async () => {
    await withBranch({ clients: 6, wanMbit: 50, mib: 32 }, async (branch) => {
      branch.pack("LAB", 1);
      await branch.startServers();
      const result = await coldStart(branch, "LAB");
      process.stdout.write(
        `lab: 6 clients, 32 MiB, 50 Mbit/s: ${result.completed} complete, WAN ${result.copies.toFixed(3)} copies on the wire, last after ${result.last.toFixed(2)} x size/rate\n`,
      );
      expect(result.completed).toBe(6);
      expect(branch.sameFiles("LAB", 1)).toBe(true);
      // One copy with headers is 1.05.
      expect(result.copies).toBeLessThan(1.3);
    });
  });
});
