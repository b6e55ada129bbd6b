import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { deltaSiteBytes } from "../bench/delta/site-bytes.js";
import { type BenchCase, CHANGED_SHARE, CUT_MS, EDITED_SHARE, FAULT_AT, LAN_MBIT } from "./bench-cases.js";
import { type Measured, type Spread, spread } from "./bench-run.js";
import { type Branch, withBranch } from "./branch.js";
import { type BranchClient, MILESTONES, type Milestone } from "./branch-client.js";
import { cpuPercentSince, machineCpu } from "./process-usage.js";

const IMAGE = "BENCH";
const BLOCK_BYTES = 64 * 1024;
const MIB = 1024 * 1024;
/** A run that takes this many times the bound has failed; a cut and the settling come on top. */
const LIMIT_BOUNDS = 4;
const LIMIT_EXTRA_SECONDS = 90;

/** Runs one case with our clients. */
export async function measureOurs(
  of: BenchCase,
  setting: { readonly mib: number; readonly delayMs: number },
  signal: AbortSignal,
): Promise<Measured> {
  const bound = (setting.mib * MIB * 8) / (of.wanMbit * 1e6);
  const options = {
    clients: of.clients,
    wanMbit: of.wanMbit,
    lanMbit: LAN_MBIT,
    mib: setting.mib,
    ...(setting.delayMs > 0 && { delayMs: setting.delayMs }),
    ...(of.hasTracker === false && { hasTracker: false }),
    limitSeconds: LIMIT_BOUNDS * bound + LIMIT_EXTRA_SECONDS,
  };
  return await withBranch(
    options,
    async (branch) => {
      branch.pack(IMAGE, 1);
      await branch.startServers();
      await branch.trackerIsWarm();
      switch (of.kind) {
        case "cold":
          return await cold(branch, of);
        case "late":
          return await late(branch, of);
        case "update":
          return await update(branch, of);
        case "deltaupdate":
          return await deltaUpdate(branch, of);
      }
    },
    signal,
  );
}

async function cold(branch: Branch, of: BenchCase): Promise<Measured> {
  const measure = await Measure.begin(branch);
  for (let n = 1; n <= of.clients; n++) branch.startClient(`s1c${n}`, IMAGE);
  if (of.fault !== undefined) await doFault(branch, of.fault);
  await branch.complete(branch.clients, 1);
  return await measure.end(branch.clients, 1, { siteBytes: branch.sizeOf(IMAGE, 1), mbit: of.wanMbit });
}

async function late(branch: Branch, of: BenchCase): Promise<Measured> {
  for (let n = 1; n < of.clients; n++) branch.startClient(`s1c${n}`, IMAGE);
  await mustComplete(branch, 1);
  const measure = await Measure.begin(branch);
  const client = branch.startClient(`s1c${of.clients}`, IMAGE);
  await branch.complete([client], 1);
  return await measure.end([client], 1, { siteBytes: branch.sizeOf(IMAGE, 1), mbit: LAN_MBIT });
}

/** From the moment at which the origin publishes; clients hear of it from the tracker. */
async function update(branch: Branch, of: BenchCase): Promise<Measured> {
  for (let n = 1; n <= of.clients; n++) branch.startClient(`s1c${n}`, IMAGE);
  await mustComplete(branch, 1);
  const changed = Math.round((branch.options.mib * MIB * CHANGED_SHARE) / BLOCK_BYTES) * BLOCK_BYTES;
  branch.pack(IMAGE, 2, changed);
  const measure = await Measure.begin(branch);
  await branch.until(() => branch.publishedAt.has(2));
  measure.beganAt = branch.publishedAt.get(2) ?? Number.NaN;
  await branch.complete(branch.clients, 2);
  return await measure.end(branch.clients, 2, { siteBytes: changed, mbit: of.wanMbit });
}

/** The same with a version of which the origin makes a delta before it publishes it. */
async function deltaUpdate(branch: Branch, of: BenchCase): Promise<Measured> {
  for (let n = 1; n <= of.clients; n++) branch.startClient(`s1c${n}`, IMAGE);
  await mustComplete(branch, 1);
  const edited = Math.round((branch.options.mib * MIB * EDITED_SHARE) / BLOCK_BYTES) * BLOCK_BYTES;
  branch.pack(IMAGE, 2, edited, "edited");
  const measure = await Measure.begin(branch);
  await branch.until(() => branch.publishedAt.has(2));
  measure.beganAt = branch.publishedAt.get(2) ?? Number.NaN;
  await branch.complete(branch.clients, 2);
  const pack = (version: string): string => join(branch.root, `${IMAGE}_${version}.ckm`);
  const siteBytes = await deltaSiteBytes(pack("1"), pack("2"), pack("2.from_1"));
  return await measure.end(branch.clients, 2, { siteBytes, mbit: of.wanMbit });
}

async function mustComplete(branch: Branch, version: number): Promise<void> {
  if (!(await branch.complete(branch.clients, version)))
    throw new Error(`the first clients did not get version ${version}: ${problems(branch.clients)}`);
}

async function doFault(branch: Branch, fault: NonNullable<BenchCase["fault"]>): Promise<void> {
  await branch.until(() => branch.progress(1) >= FAULT_AT[fault]);
  switch (fault) {
    case "killfetcher": {
      const victim = branch.fetcher(1);
      branch.clients.splice(branch.clients.indexOf(victim), 1);
      await victim.kill();
      return;
    }
    case "killtracker":
      branch.tracker?.kill("SIGKILL");
      return;
    case "wancut":
      await branch.lab.wan(1, "down");
      await sleep(CUT_MS);
      await branch.lab.wan(1, "up");
      return;
  }
}

/** Counters of lab, machine and clients over a stretch of time. */
class Measure {
  readonly #branch: Branch;
  readonly #before: Awaited<ReturnType<Branch["lab"]["stats"]>>;
  readonly #cpu = machineCpu();
  readonly #used: ReadonlyMap<BranchClient, number>;
  beganAt = Date.now();

  private constructor(branch: Branch, before: Awaited<ReturnType<Branch["lab"]["stats"]>>) {
    this.#branch = branch;
    this.#before = before;
    this.#used = new Map(branch.clients.map((c) => [c, c.usage?.cpuSeconds ?? 0]));
  }

  static async begin(branch: Branch): Promise<Measure> {
    return new Measure(branch, await branch.lab.stats());
  }

  /** @param of what goes over the WAN once, and the rate of the bound */
  async end(
    clients: readonly BranchClient[],
    version: number,
    of: { readonly siteBytes: number; readonly mbit: number },
  ): Promise<Measured> {
    const { wan } = await this.#branch.lab.stats(this.#before);
    const cpuPercent = cpuPercentSince(this.#cpu);
    const [down, up] = [wan.get("site1")?.down ?? 0, wan.get("site1")?.up ?? 0];
    const done = clients.filter((c) => c.isComplete(version));
    if (done.length < clients.length)
      process.stderr.write(`incomplete: ${problems(clients.filter((c) => !c.isComplete(version)))}\n`);
    const times = done
      .map((c) => ((c.verifiedAt.get(version) ?? Number.NaN) - this.beganAt) / 1000)
      .toSorted((a, b) => a - b);
    const usages = clients.flatMap((c) => {
      const { usage } = c;
      return usage === undefined
        ? []
        : [{ ...usage, cpuSeconds: usage.cpuSeconds - (this.#used.get(c) ?? 0) }];
    });
    const counts = done.flatMap((c) => c.counts.get(version) ?? []);
    const payload = clients
      .flatMap((c) => c.counts.get(version) ?? [])
      .reduce((sum, c) => sum + c.origin + c.wastedOrigin, 0);
    return {
      wanDownBytes: down,
      wanUpBytes: up,
      siteBytes: of.siteBytes,
      copies: down / of.siteBytes,
      boundSeconds: (of.siteBytes * 8) / (of.mbit * 1e6),
      seconds: times.at(-1) ?? Number.NaN,
      completed: done.length,
      expected: clients.length,
      cpuPercent: Math.round(cpuPercent),
      clientsCpuSeconds: usages.reduce((sum, u) => sum + u.cpuSeconds, 0),
      rssPeakMib: Math.max(0, ...usages.map((u) => u.rssPeakMib)),
      times,
      payloadCopies: payload / of.siteBytes,
      areSourcesWhole: counts.every((c) => c.held === c.needed),
      ...(version === 1 && { phases: phases(done) }),
    };
  }
}

/** From each client's start to each of its milestones, seconds. */
function phases(clients: readonly BranchClient[]): Partial<Record<Milestone, Spread>> {
  const found: Partial<Record<Milestone, Spread>> = {};
  for (const milestone of MILESTONES) {
    const times = clients.flatMap((c) => {
      const at = c.milestones.get(milestone);
      return at === undefined ? [] : [(at - c.startedAt) / 1000];
    });
    if (times.length > 0) found[milestone] = spread(times);
  }
  return found;
}

function problems(clients: readonly BranchClient[]): string {
  return clients
    .map((c) => `${c.host}: ${c.problems.slice(-3).join("; ") || "no problem reported"}`)
    .join("\n");
}
