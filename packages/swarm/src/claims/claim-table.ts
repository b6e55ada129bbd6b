import type { Claim } from "@ckmesh/wire";
import {
  CLAIM_VOID_MS,
  MAX_CLAIMS,
  MAX_OPEN_CLAIMS,
  MAX_STRANGERS,
  MAX_STRANGERS_PER_LINK,
  UNBACKED_BYTES,
} from "../constants.js";
import type { LinkId } from "../swarm-messages.js";
import { compareClaims } from "./claim-contest.js";
import { ClaimPauses } from "./claim-pauses.js";
import { ClaimStandings } from "./claim-standings.js";
import {
  type ClaimEvidence,
  isActive,
  isValid,
  type KnownClaim,
  lifetime,
  trusting,
  voidMsOf,
} from "./known-claim.js";

export type ClaimNews = "new" | "progress" | "repeat" | "stale" | "replay" | "excess";

/** What became of claims with time. */
export interface ExpiredClaims {
  /** Spans that became free. */
  readonly freed: readonly number[];
  /** Neighbours that said they had finished and offer nothing of it. */
  readonly liars: readonly string[];
  /** Links that were first to tell of a claim that is void now. */
  readonly vias: readonly LinkId[];
}

/**
 * Claims of other peers: at most one per claimer and span, the newest. States of a claim: open → moving →
 * done, or released; paused from any of the first two and back; void when it stops moving or its owner leaves.
 */
export class ClaimTable {
  /** By span, then claimer. */
  readonly #spans = new Map<number, Map<string, KnownClaim>>();
  #size = 0;
  #longestVoidMs = CLAIM_VOID_MS;
  /** Answer of `active` until something changes. */
  #active: readonly KnownClaim[] | undefined;
  /** Answer of `claimers` until something changes. */
  #claimers: { readonly count: number; readonly medianRate: number } | undefined;
  readonly standings = new ClaimStandings();
  readonly #pauses = new ClaimPauses();
  /** Active claims that are not void; and their number by claimer. */
  readonly #holding = new Set<KnownClaim>();
  readonly #open = new Map<string, number>();

  /** Files a verified claim. "new" and "progress" are relayed, the rest is not. */
  add(claim: Claim, score: number, now: number, evidence: ClaimEvidence = trusting(claim)): ClaimNews {
    const { claimer, span } = claim;
    if (this.standings.isBarred(claimer, now)) return "excess";
    const claims = this.#spans.get(span) ?? new Map<string, KnownClaim>();
    const known = claims.get(claimer);
    if (known !== undefined && claim.epoch === known.claim.epoch) return "repeat";
    const isOld = known !== undefined && claim.epoch < known.claim.epoch;
    const freshness = this.standings.heard(claimer, claim.epoch, now, evidence.isOwnWord);
    if (freshness === "replay") return "replay";
    if (isOld || freshness === "late") return "stale";
    const wasOpen = known !== undefined && isActive(known.claim) && !known.isVoid;
    if (isActive(claim) && !wasOpen && !this.#makeRoom(claim, now)) return "excess";
    if (known === undefined) {
      if (!evidence.isNeighbour && this.#isCrowded(claimer, evidence.via)) return "excess";
      if (this.#size >= MAX_CLAIMS && !this.#evict()) return "excess";
      this.#size += 1;
    }
    const baseBytes = known?.baseBytes ?? Math.max(0, evidence.borneOutBytes - claim.bytesDone);
    const shownBytes = Math.min(claim.bytesDone, Math.max(0, evidence.borneOutBytes - baseBytes));
    const backed = Math.min(claim.bytesDone, shownBytes + UNBACKED_BYTES);
    const isFirstDone = claim.state === "done" && known?.claim.state !== "done";
    const hasMoved = known === undefined || backed > known.mostBytes || isFirstDone;
    if (known !== undefined && shownBytes > known.shownBytes) {
      this.standings.moved(claimer, now);
      this.#pauses.moved(claimer);
    }
    const pausedUntil = this.#pauses.heard(claim, now);
    if (known !== undefined) this.#count(known, -1);
    const filed: KnownClaim = {
      claim,
      score,
      rate: this.standings.believedRate(claimer, claim.rate, now),
      since: wasOpen ? known.since : now,
      isNeighbour: evidence.isNeighbour,
      via: evidence.isNeighbour ? undefined : (known?.via ?? evidence.via),
      hasDisplaced: known?.hasDisplaced ?? false,
      baseBytes,
      shownBytes,
      isShown: false,
      firstSeen: now,
      progressAt: Math.max(hasMoved ? now : known.progressAt, pausedUntil),
      mostBytes: Math.max(known?.mostBytes ?? 0, backed),
      voidMs: voidMsOf(claim, evidence),
      isVoid: hasMoved ? false : known.isVoid,
    };
    claims.set(claimer, filed);
    this.#spans.set(span, claims);
    this.#count(filed, 1);
    this.#changed();
    this.#longestVoidMs = Math.max(this.#longestVoidMs, filed.voidMs);
    const wasPaused = known?.claim.state === "paused";
    if (claim.state === "released" && wasOpen && !wasPaused && filed.mostBytes === 0)
      this.#gaveUp(filed, now);
    return known === undefined ? "new" : "progress";
  }

  /** Claims of all peers that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** When the same message was seen first; undefined if never. */
  firstSeen(claim: Claim): number | undefined {
    const known = this.#spans.get(claim.span)?.get(claim.claimer);
    return known !== undefined && claim.epoch === known.claim.epoch ? known.firstSeen : undefined;
  }

  /** Claims that cover a row now: open or moving and not void, or done and fresh. */
  *covering(span: number, row: number): Generator<KnownClaim> {
    for (const known of this.#spans.get(span)?.values() ?? []) {
      const { first, count } = known.claim.rows;
      if (row >= first && row < first + count && isValid(known)) yield known;
    }
  }

  /** Open, moving and paused claims of all peers that are not void. */
  active(): readonly KnownClaim[] {
    this.#active ??= [...this.#holding];
    return this.#active;
  }

  /** Peers with active claims, and the median of the rates they claim (0: none known). */
  get claimers(): { readonly count: number; readonly medianRate: number } {
    if (this.#claimers === undefined) {
      const active = this.active();
      const rates = active.map((k) => k.rate).filter((r) => r > 0);
      const medianRate = rates.toSorted((a, b) => a - b)[Math.floor(rates.length / 2)] ?? 0;
      this.#claimers = { count: new Set(active.map((k) => k.claim.claimer)).size, medianRate };
    }
    return this.#claimers;
  }

  /** The score that was worked out for an earlier message of the claim. */
  scoreOf(span: number, claimer: string): number | undefined {
    return this.#spans.get(span)?.get(claimer)?.score;
  }

  /** The best valid active claim of a span by rule 9: moving first, then rank. */
  best(span: number): KnownClaim | undefined {
    let best: KnownClaim | undefined;
    for (const known of this.#spans.get(span)?.values() ?? []) {
      if (!isActive(known.claim) || !isValid(known)) continue;
      if (best === undefined || compareClaims(known, best) < 0) best = known;
    }
    return best;
  }

  /**
   * Voids claims that stand still, at the earliest after `gossipMs`.
   * @param isShown true if the rows of a finished claim are on offer by now
   */
  expire(now: number, gossipMs: number, isShown: (known: KnownClaim) => boolean): ExpiredClaims {
    const [freed, liars, vias]: [number[], string[], LinkId[]] = [[], [], []];
    for (const [span, claims] of this.#spans) {
      for (const [claimer, known] of claims) {
        if (now - known.progressAt < lifetime(known, gossipMs)) continue;
        const isDone = known.claim.state === "done";
        if (isDone && !known.isVoid && !known.isShown && isShown(known)) {
          known.isShown = true;
          if (now - known.progressAt < lifetime(known, gossipMs)) continue;
        }
        if (known.isVoid || known.claim.state === "released" || known.isShown) {
          if (isValid(known)) freed.push(span);
          this.#delete(span, claimer, claims);
          continue;
        }
        this.#void(known, now);
        freed.push(span);
        if (isDone && known.isNeighbour) liars.push(claimer);
        if (known.via !== undefined) vias.push(known.via);
      }
    }
    return { freed, liars, vias };
  }

  /**
   * Patience ran out: whatever is claimed, no byte came of it. Claims of whom nothing was ever borne out are
   * void, and their owners may not claim for a while.
   */
  distrust(now: number): void {
    for (const claims of this.#spans.values()) {
      for (const [claimer, known] of claims) {
        if (known.isVoid || this.standings.isProven(claimer)) continue;
        this.#void(known, now);
        this.standings.bar(claimer, now);
      }
    }
  }

  /** A claim of this peer made us give up a fetch, by the rate that it says it has: it had better bring the bytes. */
  displaced(span: number, claimer: string): void {
    const known = this.#spans.get(span)?.get(claimer);
    if (known !== undefined) known.hasDisplaced = true;
  }

  /**
   * The link to the claimer has gone: what it claimed while there was one no longer holds. What others told of it
   * does: a full peer ends a new link at once, and goes on fetching. Returns the spans that became free.
   */
  drop(claimer: string): number[] {
    const freed: number[] = [];
    for (const [span, claims] of this.#spans) {
      if (claims.get(claimer)?.isNeighbour === true) {
        this.#delete(span, claimer, claims);
        freed.push(span);
      }
    }
    if (freed.length > 0) this.standings.gone(claimer);
    return freed;
  }

  /** When `expire` next has something to do. */
  deadline(gossipMs: number): number {
    let due = Number.POSITIVE_INFINITY;
    this.#longestVoidMs = CLAIM_VOID_MS;
    for (const claims of this.#spans.values()) {
      for (const known of claims.values()) {
        const mayVoid = isActive(known.claim) && !known.isVoid;
        if (mayVoid) this.#longestVoidMs = Math.max(this.#longestVoidMs, known.voidMs);
        due = Math.min(due, known.progressAt + lifetime(known, gossipMs));
      }
    }
    return due;
  }

  /** The longest void time of the claims that held at the last `deadline`, and of those since: what patience outlasts. */
  get longestVoidMs(): number {
    return this.#longestVoidMs;
  }

  #changed(): void {
    this.#active = undefined;
    this.#claimers = undefined;
  }

  /**
   * Who opens one claim more than allowed has ended one of the others: the news of that is late or lost, as claims
   * come by many ways. Unless this message is older than all of them.
   */
  #makeRoom({ claimer, epoch }: Claim, now: number): boolean {
    if ((this.#open.get(claimer) ?? 0) < MAX_OPEN_CLAIMS) return true;
    const active = this.active().filter(({ claim }) => claim.claimer === claimer);
    const [oldest] = active.toSorted((a, b) => a.claim.epoch - b.claim.epoch);
    if (oldest === undefined || oldest.claim.epoch > epoch) return false;
    this.#void(oldest, now, oldest.mostBytes === 0);
    return true;
  }

  /** Keeps the count of each claimer's open claims. */
  #count(known: KnownClaim, by: 1 | -1): void {
    if (!isActive(known.claim) || known.isVoid) return;
    if (by > 0) this.#holding.add(known);
    else this.#holding.delete(known);
    const left = (this.#open.get(known.claim.claimer) ?? 0) + by;
    if (left > 0) this.#open.set(known.claim.claimer, left);
    else this.#open.delete(known.claim.claimer);
  }

  /** True if too many strangers are claimers already: of this link, or of all. */
  #isCrowded(claimer: string, via: LinkId | undefined): boolean {
    if (this.#open.has(claimer) || this.standings.isProven(claimer)) return false;
    const all = new Set<string>();
    const same = new Set<string>();
    for (const { claim, via: by } of this.#strangers()) {
      all.add(claim.claimer);
      if (by === via) same.add(claim.claimer);
    }
    return all.size >= MAX_STRANGERS || same.size >= MAX_STRANGERS_PER_LINK;
  }

  /** Claims that hold of peers without a link, of whom no have has borne out anything. */
  *#strangers(): Generator<KnownClaim> {
    for (const claims of this.#spans.values()) {
      for (const known of claims.values()) {
        const holds = !known.isVoid && known.claim.state !== "released";
        if (holds && !known.isNeighbour && !this.standings.isProven(known.claim.claimer)) yield known;
      }
    }
  }

  /** @param counts false: nothing speaks against its owner */
  #void(known: KnownClaim, now: number, counts = true): void {
    this.#count(known, -1);
    known.isVoid = true;
    this.#changed();
    if (counts) this.standings.voided(known.claim.claimer, now);
    if (known.hasDisplaced) this.standings.disbelieve(known.claim.claimer, now);
  }

  /** Released without a byte: harmless once, an attack when it goes on. */
  #gaveUp(known: KnownClaim, now: number): void {
    this.standings.idled(known.claim.claimer, now - known.since, now);
    if (known.hasDisplaced) this.standings.disbelieve(known.claim.claimer, now);
  }

  #evict(): boolean {
    for (const [span, claims] of this.#spans) {
      for (const [claimer, known] of claims) {
        if (known.isVoid || known.claim.state === "done" || known.claim.state === "released") {
          this.#delete(span, claimer, claims);
          return true;
        }
      }
    }
    return false;
  }

  #delete(span: number, claimer: string, claims: Map<string, KnownClaim>): void {
    const known = claims.get(claimer);
    if (known !== undefined) this.#count(known, -1);
    this.#changed();
    claims.delete(claimer);
    this.#size -= 1;
    if (claims.size === 0) this.#spans.delete(span);
  }
}
