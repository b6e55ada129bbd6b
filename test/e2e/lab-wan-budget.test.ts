import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Branch, withBranch } from "../lab/branch.js";
import { labAvailable } from "../lab/lab.js";
import { runCkmesh } from "./run-ckmesh.js";

const reason = labAvailable();
if (reason !== undefined) process.stderr.write(`tests of the WAN budget skipped: ${reason}\n`);

const WAN_MBIT = 50;
/** What TCP carries of it: the rest are headers. */
const PAYLOAD = 0.955;
const CLIENTS = ["s1c1", "s1c2", "s1c3", "s1c4"];

/** Sends without end to whoever connects. */
const SENDER = `
  const block = Buffer.alloc(65536);
  require("node:net").createServer((socket) => {
    const send = () => { while (socket.writable && socket.write(block)); };
    socket.on("drain", send).on("error", () => {});
    send();
  }).listen(9000, "10.77.0.1", () => console.log("ready"));`;
/** Tells every quarter of a second how many bytes have come in all. */
const RECEIVER = `
  let bytes = 0;
  require("node:net").connect(9000, "10.77.0.1").on("data", (part) => { bytes += part.length; });
  setInterval(() => console.log(bytes), 250);`;

/** Mbit/s on the wire to the site, over `seconds`. */
async function siteRate(branch: Branch, seconds: number): Promise<number> {
  const before = await branch.lab.stats();
  await sleep(seconds * 1000);
  const { wan, seconds: passed } = await branch.lab.stats(before);
  return ((wan.get("site1")?.down ?? Number.NaN) * 8) / 1e6 / passed;
}

/** Waits until the site fetches over the WAN. */
async function underWay(branch: Branch): Promise<void> {
  while ((await siteRate(branch, 0.5)) < 5);
}

/** A TCP flow of somebody else over the same link. */
class Competitor {
  readonly #receiver: ChildProcess;
  bytes = 0;

  private constructor(receiver: ChildProcess) {
    this.#receiver = receiver;
  }

  static async start(branch: Branch): Promise<Competitor> {
    const piped = { stdio: ["ignore", "pipe", "inherit"] } as const;
    const run = (host: string, code: string): ChildProcess =>
      branch.lab.spawn(host, [process.execPath, "-e", code], { stdio: [...piped.stdio] });
    const sender = run("dc", SENDER);
    if (sender.stdout !== null) for await (const _ of createInterface({ input: sender.stdout })) break;
    const competitor = new Competitor(run("s1c4", RECEIVER));
    const { stdout } = competitor.#receiver;
    if (stdout !== null)
      createInterface({ input: stdout }).on("line", (line) => {
        competitor.bytes = Number(line);
      });
    return competitor;
  }

  /** Mbit/s of payload, over `seconds`. */
  async rate(seconds: number): Promise<number> {
    const [bytes, from] = [this.bytes, performance.now()];
    await sleep(seconds * 1000);
    return ((this.bytes - bytes) * 8) / 1000 / (performance.now() - from);
  }

  stop(): void {
    this.#receiver.kill("SIGKILL");
  }
}

async function limitAll(branch: Branch, ...limit: readonly string[]): Promise<void> {
  await Promise.all(
    branch.clients.map(async ({ store }) => {
      const run = await runCkmesh(["client", "limit", ...limit, "--store", store]);
      expect([run.exitCode, run.stderr]).toEqual([0, ""]);
    }),
  );
}

describe.skipIf(reason !== undefined)("a branch office on a link that others use too", () => {
  it("fills an idle link without a budget, leaves four fifths to a TCP flow, and takes them back", async () => {
    const options = { clients: CLIENTS.length, wanMbit: WAN_MBIT, mib: 160, wanFlags: [] };
    await withBranch(options, async (branch) => {
      branch.pack("LAB", 3);
      await branch.startServers();
      for (const host of CLIENTS) branch.startClient(host, "LAB");
      await underWay(branch);
      await sleep(2000);
      const alone = await siteRate(branch, 5);
      const other = await Competitor.start(branch);
      await sleep(4000);
      const [flow, beside] = await Promise.all([other.rate(8), siteRate(branch, 8)]);
      other.stop();
      await sleep(4000);
      const after = await siteRate(branch, 4);
      process.stdout.write(
        `lab: ${WAN_MBIT} Mbit/s: alone ${alone.toFixed(1)}; a TCP flow gets ${flow.toFixed(1)} of payload, the link carries ${beside.toFixed(1)}; alone again ${after.toFixed(1)}\n`,
      );
      expect(alone).toBeGreaterThanOrEqual(0.9 * WAN_MBIT);
      expect(flow).toBeGreaterThanOrEqual(0.8 * PAYLOAD * WAN_MBIT);
      expect(after).toBeGreaterThanOrEqual(0.85 * WAN_MBIT);
    });
  });

  it("keeps a budget as the sum of its clients, whatever image they follow, and obeys ckmesh client limit", async () => {
    const budget = 20;
    const options = {
      clients: CLIENTS.length,
      wanMbit: WAN_MBIT,
      mib: 64,
      wanFlags: ["--wan-budget", `${budget}M`],
    };
    await withBranch(options, async (branch) => {
      branch.pack("LAB", 4);
      branch.pack("OTHER", 5);
      await branch.startServers();
      for (const [i, host] of CLIENTS.entries()) branch.startClient(host, i % 2 === 0 ? "LAB" : "OTHER");
      await underWay(branch);
      await sleep(3000);
      const seen = [await siteRate(branch, 5), await siteRate(branch, 5)];
      await limitAll(branch, "off", "--for", "1h");
      await sleep(1000);
      const off = await siteRate(branch, 2);
      await limitAll(branch, "auto");
      await sleep(6000); // both groups learn anew what they get
      const again = await siteRate(branch, 5);
      process.stdout.write(
        `lab: budget ${budget} Mbit/s: ${seen.map((rate) => rate.toFixed(1)).join(" and ")}; off ${off.toFixed(2)}; again ${again.toFixed(1)}\n`,
      );
      for (const rate of [...seen, again]) {
        expect(rate).toBeLessThanOrEqual(1.05 * budget);
        expect(rate).toBeGreaterThanOrEqual(0.85 * budget);
      }
      expect(off).toBeLessThan(0.2);
    });
  });
});
