import { BAR_MS, EPOCH_GRACE_MS, IDLE_CLAIM_MS, MAX_CLAIMS, MAX_VOID_CLAIMS } from "../constants.js";

/** What one peer's claims have been worth so far. */
interface Standing {
  /** Claims in a row that moved nothing. */
  voids: number;
  /** Time in a row for which it held claims that moved nothing and were given up before they were void, ms. */
  idleMs: number;
  barredUntil: number;
  /** Haves have borne out bytes of a claim. */
  isProven: boolean;
  /** It took a span by the rate that it said it has, and brought nothing: its word counts for nothing until then. */
  disbelievedUntil: number;
  /** Highest epoch seen; what it was when that was last looked at; and what is too old to be news. */
  highest: number;
  before: number;
  floor: number;
  lookedAt: number;
  /** Highest epoch when its link was lost: what it said until then no longer counts, though it may be on its way. */
  left: number;
}

/** How fresh a message is. */
export type Freshness = "news" | "late" | "replay";

/**
 * Whose claims count. A claimer whose claims do not move may not claim for a while; a rate counts only from
 * whom haves have borne out; and a message from before the last seconds is a replay, whoever relays it.
 */
export class ClaimStandings {
  /** Least recently heard first; bounded, as ids cost nothing to make. */
  readonly #all = new Map<string, Standing>();

  get size(): number {
    return this.#all.size;
  }

  isBarred(claimer: string, now: number): boolean {
    return (this.#all.get(claimer)?.barredUntil ?? 0) > now;
  }

  isProven(claimer: string): boolean {
    return this.#all.get(claimer)?.isProven ?? false;
  }

  /** The rate that conflicts go by: 0, unknown, unless there is reason to believe it. */
  believedRate(claimer: string, rate: number, now: number): number {
    const standing = this.#all.get(claimer);
    return standing?.isProven === true && standing.disbelievedUntil <= now ? rate : 0;
  }

  /**
   * Notes a message's epoch. "replay": it is older than the claimer's messages of many seconds ago.
   * @param isOwnWord it came over the claimer's own link: nobody can replay there, but a clock that was set back
   *   makes its epochs lower than before
   */
  heard(claimer: string, epoch: number, now: number, isOwnWord: boolean): Freshness {
    const standing = this.#of(claimer, now);
    if (isOwnWord && epoch <= standing.highest) return "news";
    if (epoch <= standing.floor) return "replay";
    if (epoch <= standing.left) return "late";
    standing.highest = Math.max(standing.highest, epoch);
    if (now - standing.lookedAt >= EPOCH_GRACE_MS) {
      standing.floor = standing.before;
      standing.before = standing.highest;
      standing.lookedAt = now;
    }
    return "news";
  }

  /** The claimer has gone: what it said until now must not come back by a relay. */
  gone(claimer: string): void {
    const standing = this.#all.get(claimer);
    if (standing !== undefined) standing.left = standing.highest;
  }

  /** Haves bear out bytes that it claimed to fetch. */
  moved(claimer: string, now: number): void {
    const standing = this.#of(claimer, now);
    standing.isProven = true;
    standing.voids = 0;
    standing.idleMs = 0;
  }

  /** It held a claim this long, moved nothing, and gave it up before it was void. */
  idled(claimer: string, ms: number, now: number): void {
    const standing = this.#of(claimer, now);
    standing.idleMs += ms;
    if (standing.idleMs < IDLE_CLAIM_MS) return;
    standing.idleMs = 0;
    this.voided(claimer, now);
  }

  /** A claim of it moved nothing. */
  voided(claimer: string, now: number): void {
    const standing = this.#of(claimer, now);
    standing.voids += 1;
    if (standing.voids >= MAX_VOID_CLAIMS) this.bar(claimer, now);
  }

  bar(claimer: string, now: number): void {
    const standing = this.#of(claimer, now);
    standing.voids = 0;
    standing.barredUntil = now + BAR_MS;
  }

  disbelieve(claimer: string, now: number): void {
    this.#of(claimer, now).disbelievedUntil = now + BAR_MS;
  }

  #of(claimer: string, now: number): Standing {
    const known = this.#all.get(claimer);
    if (known !== undefined) {
      this.#all.delete(claimer);
      this.#all.set(claimer, known);
      return known;
    }
    const oldest = this.#all.keys().next();
    if (this.#all.size >= MAX_CLAIMS && oldest.done !== true) this.#all.delete(oldest.value);
    const fresh: Standing = {
      voids: 0,
      idleMs: 0,
      barredUntil: 0,
      isProven: false,
      disbelievedUntil: 0,
      highest: 0,
      before: 0,
      floor: 0,
      lookedAt: now,
      left: 0,
    };
    this.#all.set(claimer, fresh);
    return fresh;
  }
}
