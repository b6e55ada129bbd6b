import type { Claim } from "@ckmesh/wire";
import { ClaimPauses } from "./claim-pauses.js";
import {
  BAR_MS,
  CLAIM_VOID_MS,
  DONE_CLAIM_MS,
  FASTER,
  MAX_CLAIMS,
  MAX_OPEN_CLAIMS,
  MAX_VOID_CLAIMS,
  MAX_VOID_MS,
  UNBACKED_BYTES,
  UNRATED_VOID_MS,
} from "./constants.js";
import { compareRank } from "./rank.js";

/** A claim of another peer, with what is known of its movement. */
export interface KnownClaim {
  readonly claim: Claim;
  readonly score: number;
  /** When this very message was first seen. */
  readonly firstSeen: number;
  /** When it last moved forward (or appeared); of a paused claim, when it may go on. */
  progressAt: number;
  /** Most bytes that the claimer has ever shown on this span: opening again without more is no progress. */
  readonly mostBytes: number;
  /** Without progress for this long it is void. */
  readonly voidMs: number;
  isVoid: boolean;
}

export type ClaimNews = "new" | "progress" | "repeat" | "stale" | "excess";

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
  /** Claims in a row that moved nothing, by claimer; and who may not claim until when. */
  readonly #voids = new Map<string, number>();
  readonly #barred = new Map<string, number>();
  readonly #pauses = new ClaimPauses();

  /**
   * Files a verified claim. "new" and "progress" are relayed, the rest is not.
   * @param backedBytes how much of `bytesDone` the claimer's haves bear out; more counts as no progress
   * @param rowBytes largest row of the claim: twice its time at the claimed rate may pass without progress
   */
  add(claim: Claim, score: number, now: number, backedBytes = claim.bytesDone, rowBytes = 65_536): ClaimNews {
    if ((this.#barred.get(claim.claimer) ?? 0) > now) return "excess";
    const claims = this.#spans.get(claim.span) ?? new Map<string, KnownClaim>();
    const known = claims.get(claim.claimer);
    if (known !== undefined && claim.epoch <= known.claim.epoch) {
      return claim.epoch === known.claim.epoch ? "repeat" : "stale";
    }
    if (known === undefined) {
      if (isActive(claim) && !this.#makeRoom(claim, now)) return "excess";
      if (this.#size >= MAX_CLAIMS && !this.#evict()) return "excess";
      this.#size += 1;
    }
    const hasMoved = known === undefined || backedBytes > known.mostBytes || claim.state === "done";
    if (backedBytes > UNBACKED_BYTES && hasMoved) this.#pauses.moved(claim.claimer);
    const pausedUntil = this.#pauses.heard(claim, now);
    this.#active = undefined;
    claims.set(claim.claimer, {
      claim,
      score,
      firstSeen: now,
      progressAt: Math.max(hasMoved ? now : known.progressAt, pausedUntil),
      mostBytes: Math.max(known?.mostBytes ?? 0, backedBytes),
      voidMs: voidMsOf(claim, rowBytes),
      isVoid: hasMoved ? false : known.isVoid,
    });
    this.#spans.set(claim.span, claims);
    this.#longestVoidMs = Math.max(this.#longestVoidMs, voidMsOf(claim, rowBytes));
    if (backedBytes > 0) this.#voids.delete(claim.claimer);
    return known === undefined ? "new" : "progress";
  }

  /** When the same message was seen first; undefined if never. */
  firstSeen(claim: Claim): number | undefined {
    const known = this.#spans.get(claim.span)?.get(claim.claimer);
    return known !== undefined && claim.epoch === known.claim.epoch ? known.firstSeen : undefined;
  }

  /** Claims that cover a row now: open or moving and not void, or done and fresh. */
  *covering(span: number, row: number, now: number): Generator<KnownClaim> {
    for (const known of this.#spans.get(span)?.values() ?? []) {
      const { first, count } = known.claim.rows;
      if (row >= first && row < first + count && isValid(known, now)) yield known;
    }
  }

  /** Open, moving and paused claims of all peers that are not void. */
  active(): readonly KnownClaim[] {
    this.#active ??= [...this.#spans.values()].flatMap((claims) =>
      [...claims.values()].filter((known) => isActive(known.claim) && !known.isVoid),
    );
    return this.#active;
  }

  /** The best valid active claim of a span by rule 9: moving first, then rank. */
  best(span: number, now: number): KnownClaim | undefined {
    let best: KnownClaim | undefined;
    for (const known of this.#spans.get(span)?.values() ?? []) {
      if (!isActive(known.claim) || !isValid(known, now)) continue;
      if (best === undefined || compareClaims(known, best) < 0) best = known;
    }
    return best;
  }

  /** Voids claims that stand still, at the earliest after `gossipMs`; returns the spans that became free. */
  expire(now: number, gossipMs: number): number[] {
    const freed: number[] = [];
    for (const [span, claims] of this.#spans) {
      for (const [claimer, known] of claims) {
        const age = now - known.progressAt;
        const mayVoid = isActive(known.claim) && !known.isVoid;
        if (mayVoid && age >= Math.max(known.voidMs, gossipMs)) {
          known.isVoid = true;
          this.#active = undefined;
          freed.push(span);
          this.#countVoid(claimer, now);
        }
        if (age >= DONE_CLAIM_MS && !(mayVoid && !known.isVoid)) this.#delete(span, claimer, claims);
      }
    }
    return freed;
  }

  /** The claimer has gone: its claims no longer hold. Returns the spans that became free. */
  drop(claimer: string): number[] {
    const freed: number[] = [];
    for (const [span, claims] of this.#spans) {
      if (claims.has(claimer)) {
        this.#delete(span, claimer, claims);
        freed.push(span);
      }
    }
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
        due = Math.min(due, known.progressAt + (mayVoid ? Math.max(known.voidMs, gossipMs) : DONE_CLAIM_MS));
      }
    }
    return due;
  }

  /** The longest void time of the claims that held at the last `deadline`, and of those since: what patience outlasts. */
  get longestVoidMs(): number {
    return this.#longestVoidMs;
  }

  /**
   * Who opens a third claim has ended one of the others: the news of that is late or lost, as claims come by many
   * ways. Unless this message is older than both.
   */
  #makeRoom({ claimer, epoch }: Claim, now: number): boolean {
    const active = this.active().filter(({ claim }) => claim.claimer === claimer);
    if (active.length < MAX_OPEN_CLAIMS) return true;
    const [oldest] = active.toSorted((a, b) => a.claim.epoch - b.claim.epoch);
    if (oldest === undefined || oldest.claim.epoch > epoch) return false;
    oldest.isVoid = true;
    this.#active = undefined;
    if (oldest.mostBytes === 0) this.#countVoid(claimer, now);
    return true;
  }

  #countVoid(claimer: string, now: number): void {
    const voids = (this.#voids.get(claimer) ?? 0) + 1;
    if (this.#voids.size >= MAX_CLAIMS) this.#voids.clear();
    this.#voids.set(claimer, voids);
    if (voids < MAX_VOID_CLAIMS) return;
    if (this.#barred.size >= MAX_CLAIMS) this.#barred.clear();
    this.#barred.set(claimer, now + BAR_MS);
    this.#voids.delete(claimer);
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
    this.#active = undefined;
    claims.delete(claimer);
    this.#size -= 1;
    if (claims.size === 0) this.#spans.delete(span);
  }
}

/** What decides a conflict between two claims. */
export interface Contender {
  readonly claim: Pick<Claim, "state" | "claimer" | "rate">;
  readonly score: number;
}

/** Whoever may fetch at once goes before one that was told to wait. */
const MOVEMENT: Partial<Record<Claim["state"], number>> = { moving: 2, open: 1 };

/**
 * Rule 9: moving bytes beat none, then higher weight, then lower peer id. Before that: a claimer that is known
 * to be four times faster beats a slow one (rule 13), so that the end never waits for the slowest machine.
 * Negative when `a` wins.
 */
export function compareClaims(a: Contender, b: Contender): number {
  if (a.claim.rate > 0 && b.claim.rate > 0) {
    if (a.claim.rate >= FASTER * b.claim.rate) return -1;
    if (b.claim.rate >= FASTER * a.claim.rate) return 1;
  }
  const moving = (MOVEMENT[b.claim.state] ?? 0) - (MOVEMENT[a.claim.state] ?? 0);
  if (moving !== 0) return moving;
  return compareRank(
    { score: a.score, peerId: a.claim.claimer },
    { score: b.score, peerId: b.claim.claimer },
  );
}

function voidMsOf(claim: Claim, rowBytes: number): number {
  const rowsMs = claim.rate > 0 ? (2000 * rowBytes) / claim.rate : UNRATED_VOID_MS;
  return Math.min(MAX_VOID_MS, Math.max(CLAIM_VOID_MS, rowsMs));
}

function isActive(claim: Claim): boolean {
  return claim.state === "open" || claim.state === "moving" || claim.state === "paused";
}

function isValid(known: KnownClaim, now: number): boolean {
  if (known.claim.state === "released" || known.isVoid) return false;
  return known.claim.state !== "done" || now - known.progressAt < DONE_CLAIM_MS;
}
