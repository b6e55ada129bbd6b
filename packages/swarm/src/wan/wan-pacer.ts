import type { Claim } from "@ckmesh/wire";
import type { KnownClaim } from "../claims/known-claim.js";
import {
  BASE_DELAY_MS,
  BEST_RATE_MS,
  FIRST_RUN_BYTES,
  FREE_RUN_MS,
  HEAVY_PART,
  MAX_MOVING_CLAIMS,
  MIN_MEASURED,
  MIN_MOVER_SHARE,
  MOVER_LINGER_MS,
  OWN_QUEUE_MARGIN,
  OWN_QUEUE_MS,
  PACED_BURST_MS,
  PACED_RUN_MS,
  RATE_MS,
  SPAN_BYTES,
  WIRE_OVERHEAD,
  YIELD_RUN_MS,
} from "../constants.js";
import { RecentExtreme } from "../recent-extreme.js";
import { SiteNeighbours } from "./site-neighbours.js";
import { SiteRate } from "./site-rate.js";
import { type WanMover, wanShare } from "./wan-share.js";
import { WanYield } from "./wan-yield.js";

/** How much may come over the WAN: anything · the site's budget in bytes per second on the link · what others leave. */
export type WanLimit =
  | { readonly type: "none" }
  | { readonly type: "rate"; readonly bytesPerSec: number }
  | { readonly type: "yield" };

/** A frame's size, raw: runs are cut between frames. */
const FRAME_BYTES = 65_536;

/** What the pacer sees of one swarm of this client. */
export interface PacedSwarm {
  readonly id: string;
  /** Claims of others that hold. */
  readonly claims: () => readonly KnownClaim[];
  /** What the last own claim said of the rate, bytes per second; 0: not known. */
  readonly ownRate: () => number;
  /** An own claim is open. */
  readonly isClaiming: () => boolean;
}

interface SeenMover {
  rate: number;
  /** The best that it said: what it can do when nothing holds it back. */
  best: number;
  /** When a claim of it last moved. */
  at: number;
}

/**
 * Holds a client to what its site may take from the WAN (rule 10): one for all swarms of the client. Says when the
 * next request may start and how long it may be; learns from claims, from bytes that came and from times to
 * first byte. Pure: time is given.
 */
export class WanPacer {
  readonly #yield = new WanYield();
  readonly #link = new RecentExtreme("greatest", BASE_DELAY_MS);
  readonly #site = new SiteRate((rate, now) => this.#measured(rate, now));
  /** Movers of all swarms but the own ones, by swarm and claimer. */
  readonly #seen = new Map<PacedSwarm, Map<string, SeenMover>>();
  readonly #neighbours = new SiteNeighbours();
  #limit: WanLimit;
  #isWhole = false;
  #best: { rate: number; at: number };

  /** @param best best rate of the site that an earlier run measured, bytes per second; 0: none */
  constructor(limit: WanLimit, best = 0) {
    this.#limit = limit;
    this.#best = { rate: best, at: 0 };
  }

  get limit(): WanLimit {
    return this.#limit;
  }

  /** The best rate of the whole site that was measured, bytes per second; 0: none yet. */
  get best(): number {
    return this.#best.rate;
  }

  /** Bytes per second that yielding holds this client to; undefined: nothing is held back. */
  get yieldingTo(): number | undefined {
    const { rate } = this.#yield;
    return this.#limit.type === "yield" && Number.isFinite(rate) ? rate : undefined;
  }

  setLimit(limit: WanLimit): void {
    this.#limit = limit;
  }

  /** The origin sends files from their beginning, whatever is asked for: each run costs all before it, so few are made. */
  ignoresRanges(): void {
    this.#isWhole = true;
  }

  /** A swarm of this client begins. */
  join(swarm: PacedSwarm): void {
    this.#seen.set(swarm, new Map());
  }

  leave(swarm: PacedSwarm): void {
    this.#seen.delete(swarm);
  }

  /** Bytes per second for a swarm; infinite: not limited. */
  rateOf(swarm: PacedSwarm, now: number): number {
    if (this.#limit.type === "none") return Number.POSITIVE_INFINITY;
    const own = this.#own(swarm);
    if (this.#limit.type === "yield") return this.#yield.rate / own.length;
    const movers = [...own, ...this.#others(now)];
    return wanShare(this.#limit.bytesPerSec / WIRE_OVERHEAD, movers, 0);
  }

  /** Longest run that may be asked for at once, bytes; infinite: not limited. A single row always may. */
  runBytes(swarm: PacedSwarm, now: number): number {
    if (this.#limit.type === "none" || this.#isWhole) return Number.POSITIVE_INFINITY;
    const rate = this.rateOf(swarm, now);
    if (this.#limit.type === "rate") return (rate * PACED_RUN_MS) / 1000;
    if (Number.isFinite(rate)) return (rate * YIELD_RUN_MS) / 1000;
    if (this.#yield.isSuspicious) return 0;
    const link = this.#linkRate();
    const others = this.#rivals(swarm, now).length;
    if (others === 0) return link > 0 ? (link * FREE_RUN_MS) / 1000 : FIRST_RUN_BYTES;
    return FRAME_BYTES + (link * (this.#yield.baseMs + OWN_QUEUE_MS)) / 1000 / others;
  }

  /** A single mover asks for its next span that early: its answer then finds the queue empty, and the link is never idle. */
  aheadBytes(swarm: PacedSwarm, now: number): number {
    if (this.#limit.type !== "yield" || Number.isFinite(this.#yield.rate) || this.#yield.isSuspicious)
      return -1;
    if (!this.isSole(swarm, now)) return -1;
    return (this.#linkRate() * (this.#yield.baseMs + OWN_QUEUE_MS)) / 1000;
  }

  /** No other machine moves. */
  isSole(swarm: PacedSwarm, now: number): boolean {
    return this.#rivals(swarm, now).length === 0;
  }

  /** Unused time that counts, ms. */
  get burstMs(): number {
    return this.#limit.type === "rate" ? PACED_BURST_MS : YIELD_RUN_MS;
  }

  /** How many machines of a swarm may move at once. */
  maxMoving(now: number): number {
    const wanted = this.#wantedMoving();
    return this.#measuredCount(now) < MIN_MEASURED ? Math.max(wanted, MIN_MEASURED) : wanted;
  }

  /** The others of a swarm that moved a moment ago, by id. */
  movers(swarm: PacedSwarm, now: number): ReadonlyMap<string, Readonly<SeenMover>> {
    this.#look(now);
    return new Map(
      [...(this.#seen.get(swarm) ?? [])].filter(([, mover]) => now - mover.at < MOVER_LINGER_MS),
    );
  }

  /** A claim of another client arrived. */
  heard(swarm: PacedSwarm, { claimer, span, rate, bytesDone, state }: Claim, now: number): void {
    this.#site.heard(`${swarm.id} ${claimer} ${span}`, bytesDone, now);
    if (state === "done") this.#note(swarm, claimer, rate, now);
  }

  /** A machine of the LAN said that it fetches, for whatever image; as `SiteNeighbours.heard`. */
  neighbour(peerId: string, rate: number, address: string, now: number): void {
    this.#neighbours.heard(peerId, rate, address, now);
  }

  /** What this client fetches now for all its swarms, bytes per second (0: not known yet); undefined: nothing. */
  get fetching(): number | undefined {
    const rates = [...this.#seen.keys()]
      .filter((swarm) => swarm.isClaiming())
      .map((swarm) => swarm.ownRate());
    return rates.length === 0 ? undefined : rates.reduce((sum, rate) => sum + rate, 0);
  }

  /** Bytes of this client came over the WAN. */
  received(bytes: number, now: number): void {
    this.#site.add(bytes, now);
  }

  /** A request that is none of a swarm, such as for a head, had its first byte after `ms`. */
  sawDelay(ms: number, now: number): void {
    this.#yield.seen(ms, now);
  }

  /** The first byte of a range request came after `ms`. */
  firstByte(swarm: PacedSwarm, ms: number, now: number): void {
    if (this.#limit.type !== "yield") {
      this.#yield.seen(ms, now);
      return;
    }
    const linkRate = this.#linkRate();
    const rate = swarm.ownRate();
    this.#yield.sample(ms, { ownQueueMs: this.#ownQueueMs(swarm, now), rate, linkRate }, now);
  }

  /** What the requests of this site may have in the queue before one of this swarm, ms. */
  #ownQueueMs(swarm: PacedSwarm, now: number): number {
    const link = this.#linkRate();
    // One that gets little is seldom in the queue: it delays some samples, not all.
    const others = this.#rivals(swarm, now).filter(
      ({ rate }) => rate === 0 || rate >= HEAVY_PART * link,
    ).length;
    if (others === 0 || link === 0) return 0;
    const run = Math.max(FRAME_BYTES, Math.min(SPAN_BYTES, this.runBytes(swarm, now)));
    return OWN_QUEUE_MARGIN * Math.max(0, (others * run * 1000) / link - this.#yield.baseMs);
  }

  #wantedMoving(): number {
    const limit = this.#limit;
    if (limit.type === "none") return MAX_MOVING_CLAIMS;
    if (limit.type === "rate")
      return Math.min(MAX_MOVING_CLAIMS, Math.max(1, Math.floor(limit.bytesPerSec / MIN_MOVER_SHARE)));
    return 1; // so that the queue that it sees is that of others
  }

  /** Own movers of all swarms, that of the given swarm first whether it moves or not. */
  #own(swarm: PacedSwarm): WanMover[] {
    const movers: WanMover[] = [{ rate: swarm.ownRate() }];
    for (const other of this.#seen.keys()) {
      if (other !== swarm && other.isClaiming()) movers.push({ rate: other.ownRate() });
    }
    return movers;
  }

  /** Those who move, and of those who mean to, as many as there is room for. */
  #others(now: number): WanMover[] {
    this.#look(now);
    const movers: WanMover[] = [];
    const openers: WanMover[] = [];
    const claimers = new Set<string>();
    for (const [swarm, seen] of this.#seen) {
      for (const [id, mover] of seen) {
        claimers.add(id);
        if (now - mover.at < MOVER_LINGER_MS) movers.push(mover);
      }
      const ids = new Set<string>();
      for (const { claim } of swarm.claims()) {
        const known = seen.get(claim.claimer);
        if (known !== undefined && now - known.at < MOVER_LINGER_MS) continue;
        if (!ids.has(claim.claimer)) openers.push(known ?? claim);
        ids.add(claim.claimer);
        claimers.add(claim.claimer);
      }
    }
    const room = Math.max(0, this.maxMoving(now) - 1 - movers.length);
    return [...movers, ...openers.slice(0, room), ...this.#neighbours.movers(now, claimers)];
  }

  /** Other movers of the site that have a claim now. */
  #rivals(swarm: PacedSwarm, now: number): WanMover[] {
    const rivals = this.#own(swarm).slice(1);
    for (const [other, seen] of this.#seen) {
      const ids = new Set<string>();
      for (const { claim } of other.claims()) {
        const isMover =
          claim.state === "moving" || now - (seen.get(claim.claimer)?.at ?? -Infinity) < MOVER_LINGER_MS;
        if (isMover && !ids.has(claim.claimer)) rivals.push(claim);
        if (isMover) ids.add(claim.claimer);
      }
    }
    return rivals;
  }

  #measuredCount(now: number): number {
    this.#look(now);
    const ids = new Set<string>();
    for (const movers of this.#seen.values()) for (const [id, { rate }] of movers) if (rate > 0) ids.add(id);
    const isSelfMeasured = [...this.#seen.keys()].some((swarm) => swarm.ownRate() > 0);
    return ids.size + Number(isSelfMeasured);
  }

  /** Notes who moves now, and forgets who has not moved for long. */
  #look(now: number): void {
    for (const [swarm, movers] of this.#seen) {
      for (const { claim } of swarm.claims()) {
        if (claim.state === "moving") this.#note(swarm, claim.claimer, claim.rate, now);
      }
      for (const [id, { at }] of movers) if (now - at > RATE_MS) movers.delete(id);
    }
  }

  #note(swarm: PacedSwarm, claimer: string, rate: number, now: number): void {
    const movers = this.#seen.get(swarm);
    const known = movers?.get(claimer);
    if (known === undefined) {
      movers?.set(claimer, { rate, best: rate, at: now });
      return;
    }
    known.at = now;
    if (rate > 0) known.rate = rate;
    known.best = Math.max(known.best, rate);
  }

  /** Bytes per second of the link, as far as seen in the last minutes; 0: not known. */
  #linkRate(): number {
    return Math.max(this.#link.value ?? 0, this.#movingRate());
  }

  /** What those who move now say they get, bytes per second. */
  #movingRate(): number {
    let sum = 0;
    for (const swarm of this.#seen.keys()) {
      if (swarm.isClaiming()) sum += swarm.ownRate();
      for (const { claim } of swarm.claims()) if (claim.state === "moving") sum += claim.rate;
    }
    return sum;
  }

  #measured(rate: number, now: number): void {
    // While it yields, what it gets says nothing of the link: what was known goes on to count.
    const isHeld = this.yieldingTo !== undefined;
    this.#link.add(isHeld ? Math.max(rate, this.#link.value ?? 0) : rate, now);
    const isOld = now - this.#best.at > BEST_RATE_MS && this.#limit.type !== "rate" && !isHeld;
    if (rate >= this.#best.rate || isOld) this.#best = { rate, at: now };
  }
}
