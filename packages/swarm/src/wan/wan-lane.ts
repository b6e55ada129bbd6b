import type { Claim } from "@ckmesh/wire";
import { type Contender, compareClaims } from "../claims/claim-contest.js";
import { FASTER } from "../constants.js";
import type { PacedSwarm, WanPacer } from "./wan-pacer.js";

/** Whose turn is asked about. */
export type Turn =
  /** A first claim: nobody else need be there. */
  | "first"
  /** The claim may start if those who move and those with better claims leave room. */
  | "start"
  /** A mover goes on with its next span: only movers that come before it count. */
  | "next";

/** One swarm's use of the client's pacer: what has been taken and not yet earned. */
export class WanLane {
  readonly #pacer: WanPacer;
  readonly #swarm: PacedSwarm;
  /** Bytes that may be taken now; below zero: the last run has not been earned yet. */
  #credit = 0;
  #earnedAt = 0;

  constructor(pacer: WanPacer, swarm: PacedSwarm) {
    this.#pacer = pacer;
    this.#swarm = swarm;
    pacer.join(swarm);
  }

  /** False: nothing here changes what the swarm does. */
  get isLimited(): boolean {
    return this.#pacer.limit.type !== "none";
  }

  /** Nobody else moves, or may: the next claim of the one that does need not wait for others to object. */
  isSole(now: number): boolean {
    return this.isLimited && this.#pacer.maxMoving(now) === 1 && this.#pacer.isSole(this.#swarm, now);
  }

  /** When the next request may start: `now`, or later. */
  readyAt(now: number): number {
    const rate = this.#earn(now);
    if (this.#credit >= 0 || !Number.isFinite(rate)) return now;
    return now + Math.max(1, (-this.#credit / rate) * 1000);
  }

  /** Longest run that may be asked for now, bytes; a single row always may. */
  runBytes(now: number): number {
    return Math.min(Number.MAX_SAFE_INTEGER, this.#pacer.runBytes(this.#swarm, now));
  }

  /** With so few bytes of a claim's last run to come, the next claim's request may go out. */
  aheadBytes(now: number): number {
    return this.#pacer.aheadBytes(this.#swarm, now);
  }

  /** A request for so many bytes starts. */
  begin(bytes: number, now: number): void {
    this.#earn(now);
    this.#credit -= bytes;
  }

  /** Whether the site has room for this client among its movers. `mine` is its own claim. */
  hasRoom(turn: Turn, mine: Contender, now: number): boolean {
    const { rate } = mine;
    const self = mine.claim.claimer;
    const ahead = new Set<string>();
    const claims = this.#swarm.claims();
    const movers = this.#pacer.movers(this.#swarm, now);
    for (const [claimer, mover] of movers) {
      const isOutpaced = mover.best > 0 && rate >= FASTER * mover.best;
      // One that goes on waits only for movers that hold a claim; a newcomer leaves the others time for their next.
      const isFaster = rate > 0 && mover.rate >= FASTER * rate;
      const isBefore =
        turn !== "next" ||
        ((claimer < self || isFaster) && claims.some(({ claim }) => claim.claimer === claimer));
      if (!isOutpaced && isBefore) ahead.add(claimer);
    }
    for (const known of turn === "next" ? [] : claims) {
      const { claimer } = known.claim;
      if (!movers.has(claimer) && (turn === "first" || compareClaims(known, mine) < 0)) ahead.add(claimer);
    }
    return ahead.size < this.#pacer.maxMoving(now);
  }

  heard(claim: Claim, now: number): void {
    this.#pacer.heard(this.#swarm, claim, now);
  }

  received(bytes: number, now: number): void {
    this.#pacer.received(bytes, now);
  }

  firstByte(ms: number, now: number): void {
    this.#pacer.firstByte(this.#swarm, ms, now);
  }

  close(): void {
    this.#pacer.leave(this.#swarm);
  }

  /** Credits what was earned since the last look; returns the rate. */
  #earn(now: number): number {
    const rate = this.#pacer.rateOf(this.#swarm, now);
    if (!Number.isFinite(rate)) this.#credit = 0;
    else {
      const most = (rate * this.#pacer.burstMs) / 1000;
      this.#credit = Math.min(most, this.#credit + (rate * (now - this.#earnedAt)) / 1000);
    }
    this.#earnedAt = now;
    return rate;
  }
}
