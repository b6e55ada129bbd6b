import { seededRandom } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  FairQueue,
  type FairQueueLimits,
  type TransferId,
  type TransferPlace,
} from "../../src/wan/fair-queue.js";

const LIMITS: FairQueueLimits = { maxTransfers: 16, maxWaiting: 8, maxWaitMs: 5000 };

/** An address that is a site by itself. */
const alone = (address: string): TransferPlace => ({ group: address, address });

/** An address of a mapped site. */
const north = (address: string): TransferPlace => ({ mapped: "north", group: address, address });

/** A queue with what became of each transfer. */
class Bench {
  readonly queue: FairQueue;
  readonly running = new Map<TransferId, TransferPlace>();
  readonly waiting = new Map<TransferId, TransferPlace>();
  readonly refused = new Map<TransferId, { reason: string; retryMs: number }>();
  now = 0;
  arrived: TransferId = 0;

  constructor(limits: Partial<FairQueueLimits> = {}) {
    this.queue = new FairQueue({ ...LIMITS, ...limits }, seededRandom(1));
  }

  arrive(place: TransferPlace): TransferId {
    const transfer = (this.arrived += 1);
    this.waiting.set(transfer, place);
    this.#step({ type: "arrive", transfer, place });
    return transfer;
  }

  arrivals(place: TransferPlace, count: number): TransferId[] {
    return Array.from({ length: count }, () => this.arrive(place));
  }

  leave(transfer: TransferId): void {
    this.running.delete(transfer);
    this.waiting.delete(transfer);
    this.#step({ type: "leave", transfer });
  }

  pass(ms: number): void {
    this.now += ms;
    this.#step({ type: "tick" });
  }

  runningOf(group: string): TransferId[] {
    return [...this.running].filter(([, place]) => place.group === group).map(([id]) => id);
  }

  #step(event: Parameters<FairQueue["step"]>[0]): void {
    for (const effect of this.queue.step(event, this.now)) {
      const place = this.waiting.get(effect.transfer);
      if (place === undefined) throw new Error(`a second answer to ${effect.transfer}`);
      this.waiting.delete(effect.transfer);
      if (effect.type === "admit") this.running.set(effect.transfer, place);
      else this.refused.set(effect.transfer, effect);
    }
  }
}

describe("FairQueue", () => {
  it("lets everybody run at once while there is room", () => {
    const bench = new Bench({ maxTransfers: 1024 });
    for (let site = 0; site < 10; site += 1) bench.arrivals(alone(`10.0.${site}.1`), 40);
    expect([bench.running.size, bench.waiting.size, bench.refused.size]).toEqual([400, 0, 0]);
  });

  it("leaves places for newcomers, however greedy a site is", () => {
    const bench = new Bench();
    bench.arrivals({ ...alone("192.0.2.1"), mapped: "greedy" }, 50);
    expect(bench.running.size).toBeLessThanOrEqual(LIMITS.maxTransfers / 2);
    for (const site of ["b", "c", "d"]) bench.arrive(alone(site));
    for (const site of ["b", "c", "d"]) expect(bench.runningOf(site)).toHaveLength(1);
  });

  it("gives a free place to the site that holds fewest, in turn", () => {
    const bench = new Bench({ maxTransfers: 4 });
    const running = [
      ...bench.arrivals(alone("a"), 4),
      ...bench.arrivals(alone("b"), 4),
      bench.arrive(alone("c")),
    ];
    bench.arrivals(alone("d"), 2);
    expect(bench.running.size).toBe(4);
    for (const transfer of running.slice(0, 1)) bench.leave(transfer);
    expect(bench.runningOf("d")).toHaveLength(1);
  });

  it("refuses with 429's reason who is over its share, and with 503's who meets a full origin", () => {
    const bench = new Bench({ maxTransfers: 4, maxWaiting: 1 });
    bench.arrivals(alone("a"), 4);
    expect([...bench.refused.values()].map((r) => r.reason)).toEqual(["site"]);
    for (const site of ["b", "c"]) bench.arrive(alone(site));
    const [, last] = bench.arrivals(alone("d"), 2);
    expect(bench.refused.get(last ?? 0)?.reason).toBe("full");
  });

  it("says when to come back, not the same to all", () => {
    const bench = new Bench({ maxTransfers: 1, maxWaiting: 0 });
    bench.arrivals(alone("a"), 50);
    const waits = [...bench.refused.values()].map((r) => r.retryMs);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(2000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(6000);
    expect(new Set(waits.map((ms) => Math.ceil(ms / 1000))).size).toBeGreaterThan(2);
  });

  it("ends a wait that is too long", () => {
    const bench = new Bench({ maxTransfers: 1 });
    const [first, second] = bench.arrivals(alone("a"), 2);
    expect(bench.queue.deadline()).toBe(5000);
    bench.pass(4999);
    expect(bench.waiting.size).toBe(1);
    bench.pass(1);
    expect(bench.refused.has(second ?? 0)).toBe(true);
    expect(bench.queue.deadline()).toBeUndefined();
    bench.leave(first ?? 0);
    expect(bench.queue.active).toBe(0);
  });

  it("keeps at most the limit of a site's transfers waiting, shared among its addresses", () => {
    const bench = new Bench({ maxTransfers: 1 });
    bench.arrivals(north("greedy"), 30);
    expect(bench.waiting.size).toBe(LIMITS.maxWaiting);
    const modest = bench.arrivals(north("modest"), 3);
    expect(bench.waiting.size).toBe(LIMITS.maxWaiting);
    for (const transfer of modest) expect(bench.waiting.has(transfer)).toBe(true);
  });

  it("joins addresses by their label into one site with one share", () => {
    const bench = new Bench({ maxTransfers: 64 });
    for (let i = 0; i < 64; i += 1) bench.arrivals({ ...alone(`198.51.100.${i}`), label: "north" }, 2);
    expect(bench.running.size).toBe(32);
    expect(bench.arrivals(alone("203.0.113.7"), 8).filter((id) => bench.running.has(id))).toHaveLength(8);
  });

  it("gives an address no second share for a second label, while it has anything here", () => {
    const bench = new Bench({ maxTransfers: 64 });
    for (let i = 0; i < 100; i += 1) bench.arrive({ ...alone("198.51.100.1"), label: `site ${i}` });
    const forged = bench.running.size;
    const honest = new Bench({ maxTransfers: 64 });
    honest.arrivals(alone("198.51.100.1"), 100);
    expect(forged).toBe(honest.running.size);
    for (const transfer of [...bench.running.keys(), ...bench.waiting.keys()]) bench.leave(transfer);
    const later = bench.arrivals({ ...alone("198.51.100.1"), label: "other" }, 1);
    expect(bench.running.has(later[0] ?? 0)).toBe(true);
  });

  it("does not let a forged label take a site's places from its own addresses", () => {
    const bench = new Bench({ maxTransfers: 64 });
    bench.arrivals({ ...alone("198.51.100.66"), label: "north" }, 100);
    for (let i = 0; i < 8; i += 1) {
      const [own] = bench.arrivals({ ...alone(`192.0.2.${i}`), label: "north" }, 1);
      expect(bench.running.has(own ?? 0)).toBe(true);
    }
  });

  it("takes the address map's word before the label's", () => {
    const bench = new Bench({ maxTransfers: 8 });
    for (let i = 0; i < 20; i += 1)
      bench.arrive({ mapped: "north", group: "g", address: `10.0.0.${i}`, label: `forged ${i}` });
    expect(bench.running.size).toBe(4);
  });

  it("keeps its promises in any order of events", () => {
    const event = fc.oneof(
      { weight: 3, arbitrary: fc.record({ site: fc.nat(4), address: fc.nat(3), label: fc.nat(3) }) },
      { weight: 2, arbitrary: fc.record({ leave: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ ms: fc.nat(3000) }) },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.array(event, { maxLength: 120 }),
        (maxTransfers, events) => {
          const limits = { maxTransfers, maxWaiting: 3, maxWaitMs: 4000 };
          const bench = new Bench(limits);
          for (const what of events) {
            if ("leave" in what) {
              // Also one that left or was refused before.
              bench.leave(1 + (what.leave % Math.max(1, bench.arrived)));
            } else if ("ms" in what) bench.pass(what.ms);
            else {
              const { site, address, label } = what;
              const place = { group: `g${site}.${address}`, address: `a${site}.${address}` };
              bench.arrive(site === 0 ? { ...place, label: `l${label}` } : { ...place, mapped: `m${site}` });
            }
            // Bounds, and counters that tell the truth: nothing is released twice or never.
            expect(bench.running.size).toBeLessThanOrEqual(maxTransfers);
            expect([bench.queue.active, bench.queue.waiting]).toEqual([
              bench.running.size,
              bench.waiting.size,
            ]);
            expect(bench.waiting.size).toBeLessThanOrEqual(limits.maxWaiting * 9);
            // Nobody without a place waits beside a free one.
            const held = new Set([...bench.running.values()].map(siteOf));
            const idle = [...bench.waiting.values()].filter((place) => !held.has(siteOf(place)));
            expect(idle.length === 0 || bench.running.size === maxTransfers).toBe(true);
            for (const { reason } of bench.refused.values()) expect(["site", "full"]).toContain(reason);
          }
          bench.pass(limits.maxWaitMs);
          expect(bench.waiting.size).toBe(0);
          for (const transfer of bench.running.keys()) bench.leave(transfer);
          expect([bench.queue.active, bench.queue.waiting, bench.queue.deadline()]).toEqual([
            0,
            0,
            undefined,
          ]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("makes places shares of a full uplink: fifty connections bring a site no more than four", () => {
    const bench = new Bench({ maxTransfers: 16, maxWaiting: 64, maxWaitMs: 1e9 });
    const sites = { greedy: 50, modest: 4, other: 4 };
    for (const [site, connections] of Object.entries(sites)) bench.arrivals(alone(site), connections);
    // Each transfer needs 20 units; all that run share one unit, and whoever ends asks for the next.
    const left = new Map<TransferId, number>();
    const got = new Map<string, number>();
    for (let i = 0; i < 20_000; i += 1) {
      const share = 1 / bench.running.size;
      for (const [transfer, place] of bench.running) {
        got.set(place.group, (got.get(place.group) ?? 0) + share);
        const rest = (left.get(transfer) ?? 20) - share;
        left.set(transfer, rest);
        if (rest > 0) continue;
        left.delete(transfer);
        bench.leave(transfer);
        bench.arrive(place);
      }
    }
    const sum = [...got.values()].reduce((a, b) => a + b, 0);
    for (const site of Object.keys(sites)) expect((got.get(site) ?? 0) / sum).toBeCloseTo(1 / 3, 1);
  });

  it("starves no site: who holds nothing is served before anybody gets a second place", () => {
    const bench = new Bench({ maxTransfers: 8, maxWaiting: 64, maxWaitMs: 1e9 });
    for (let i = 0; i < 60; i += 1) bench.arrive(alone("greedy"));
    const others = Array.from({ length: 12 }, (_, i) => bench.arrive(alone(`other ${i}`)));
    const random = seededRandom(3);
    let releases = 0;
    while (others.some((id) => bench.waiting.has(id))) {
      const running = [...bench.running.keys()];
      bench.leave(running[Math.floor(random.next() * running.length)] ?? 0);
      bench.arrive(alone("greedy"));
      releases += 1;
      expect(releases).toBeLessThanOrEqual(13);
    }
  });
});

/** Labelled places count by what their group was bound to; only mapped ones are told apart here. */
function siteOf(place: TransferPlace): string {
  return place.mapped ?? "labelled or alone";
}
