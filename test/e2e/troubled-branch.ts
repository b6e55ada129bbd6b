import { expect } from "vitest";
import { type Branch, type BranchOptions, withBranch } from "../lab/branch.js";
import type { BranchClient } from "../lab/branch-client.js";

export const IMAGE = "FAULTS";
export const CLIENTS = 4;
export const DISK_MIB = 32;
/** 32 MiB take 11 s: a middle for the fault, although progress is told once a second only. */
const WAN_MBIT = 25;
/**
 * The bar for faults, of 256 MiB, headers (1.05) included; a span that has to come again weighs eight times as
 * much in 32 MiB.
 */
export const MAX_COPIES = 1.12;
export const SPAN_SHARE = 2 / DISK_MIB;

/** A branch with an image at its origin and cold clients, and what they took from the WAN. */
export async function inBranch(
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

export function startClients(branch: Branch, count = CLIENTS): void {
  for (let n = 1; n <= count; n++) branch.startClient(`s1c${n}`, IMAGE);
}

/** Every client has the files of the origin, and counted each row once. */
export async function expectComplete(branch: Branch, clients: readonly BranchClient[]): Promise<void> {
  const isDone = await branch.complete(clients, 1);
  // What went wrong stands in the failure.
  expect(isDone ? [] : clients.filter((c) => !c.isComplete(1)).map((c) => [c.host, c.problems])).toEqual([]);
  expect(branch.sameFiles(IMAGE, 1, clients)).toBe(true);
  for (const client of clients) expect(client.counts.get(1)?.held).toBe(client.counts.get(1)?.needed);
}
