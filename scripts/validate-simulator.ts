/**
 * Runs the same cold start in the lab (network namespaces, root) and in the simulator, and says how far they are
 * apart: WAN payload within 2 %, time of the slowest client within 10 %. The moments at which the lab's clients
 * began to fetch, and the share of headers on the wire, are measured and given to the simulator. Needs a machine
 * with nothing else to do: the simulator has no CPU that runs short.
 * Run: npx tsx --conditions=ckmesh-src scripts/validate-simulator.ts [--clients 6] [--mib 64] [--wan 50] [--runs 3]
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SimSite, simImage } from "@ckmesh/sim";
import { withBranch } from "../test/lab/branch.js";
import { labAvailable } from "../test/lab/lab.js";

const MIB = 1024 * 1024;
const IMAGE = "VALIDATE";
const WAN_TOLERANCE = 0.02;
const TIME_TOLERANCE = 0.1;
const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "6" },
    mib: { type: "string", default: "64" },
    wan: { type: "string", default: "50" },
    runs: { type: "string", default: "3" },
  },
});
const [clients, mib, wanMbit] = [Number(values.clients), Number(values.mib), Number(values.wan)];

interface Measured {
  /** Payload from the origin, all clients, over pack and index. */
  readonly copies: number;
  /** From the first client's begin to the last one's end, ms. */
  readonly ms: number;
  /** When each client began, ms after the first. */
  readonly begins: readonly number[];
  /** Bytes on the wire over payload. */
  readonly headers: number;
}

async function inLab(): Promise<Measured> {
  return await withBranch({ clients, wanMbit, mib }, async (branch) => {
    branch.pack(IMAGE, 1);
    await branch.startServers();
    await branch.trackerIsWarm();
    const before = await branch.lab.stats();
    for (let n = 1; n <= clients; n++) branch.startClient(`s1c${n}`, IMAGE);
    const begins = new Map<string, number>();
    while (begins.size < clients) {
      for (const { host, counts } of branch.clients)
        if (counts.has(1) && !begins.has(host)) begins.set(host, Date.now());
      await sleep(5);
    }
    if (!(await branch.complete(branch.clients, 1))) throw new Error("not everybody completed in the lab");
    const { wan } = await branch.lab.stats(before);
    const size = branch.sizeOf(IMAGE, 1);
    const payload = branch.clients.reduce((sum, c) => sum + (c.counts.get(1)?.origin ?? 0), 0);
    const first = Math.min(...begins.values());
    return {
      copies: payload / size,
      ms: Math.max(...branch.clients.map((c) => c.verifiedAt.get(1) ?? Number.NaN)) - first,
      begins: [...begins.values()].map((at) => at - first).toSorted((a, b) => a - b),
      headers: (wan.get("site1")?.down ?? Number.NaN) / payload,
    };
  });
}

function inSimulator(lab: Measured, seed: number): Pick<Measured, "copies" | "ms"> {
  const site = new SimSite({ image: simImage(mib * MIB), seed, wan: (wanMbit * 1e6) / lab.headers });
  for (const at of lab.begins) site.clock.after(at, () => site.start());
  site.clock.advance(lab.begins.at(-1) ?? 0);
  if (!site.run(600_000)) throw new Error("not everybody completed in the simulator");
  return {
    copies: site.wan.bytes / site.image.bytes,
    ms: Math.max(...site.nodes.map((n) => n.completeAt ?? Number.NaN)),
  };
}

const median = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;

const missing = labAvailable();
if (missing !== undefined) {
  console.error(`no lab: ${missing}`);
  process.exitCode = 1;
} else {
  const apart: { copies: number; time: number }[] = [];
  console.log(`${clients} clients, ${mib} MiB, ${wanMbit} Mbit/s`);
  console.log("run  copies lab / sim  seconds lab / sim  headers  began within");
  for (let run = 1; run <= Number(values.runs); run++) {
    const lab = await inLab();
    const sim = inSimulator(lab, run);
    apart.push({ copies: sim.copies / lab.copies - 1, time: sim.ms / lab.ms - 1 });
    console.log(
      `${String(run).padStart(3)}  ${lab.copies.toFixed(3)} / ${sim.copies.toFixed(3)}  ${(lab.ms / 1000).toFixed(2)} / ${(sim.ms / 1000).toFixed(2)}  ${lab.headers.toFixed(3)}  ${((lab.begins.at(-1) ?? 0) / 1000).toFixed(2)} s`,
    );
  }
  const [copies, time] = [median(apart.map((a) => a.copies)), median(apart.map((a) => a.time))];
  console.log(`medians: WAN ${(copies * 100).toFixed(1)} %, time ${(time * 100).toFixed(1)} % apart`);
  if (Math.abs(copies) > WAN_TOLERANCE || Math.abs(time) > TIME_TOLERANCE) process.exitCode = 1;
}
