import type { Claim } from "@ckmesh/wire";
import { CLAIM_VOID_MS, DONE_CLAIM_MS, MAX_CLAIMS, MAX_OPEN_CLAIMS } from "./constants.js";
import { compareRank } from "./rank.js";

/** A claim of another peer, with what is known of its movement. */
export interface KnownClaim {
  readonly claim: Claim;
  readonly score: number;
  /** When this very message was first seen. */
  readonly firstSeen: number;
  /** When it last moved forward (or appeared). */
  progressAt: number;
  isVoid: boolean;
}

export type ClaimNews = "new" | "progress" | "repeat" | "stale" | "excess";

/**
 * Claims of other peers: at most one per claimer and span, the newest. States of a claim: open → moving →
 * done, or released; void when it stops moving or its owner leaves.
 */
export class ClaimTable {
  /** By span, then claimer. */
  readonly #spans = new Map<number, Map<string, KnownClaim>>();
  #size = 0;

  /** Files a verified claim. "new" and "progress" are relayed, the rest is not. */
  add(claim: Claim, score: number, now: number): ClaimNews {
    const claims = this.#spans.get(claim.span) ?? new Map<string, KnownClaim>();
    const known = claims.get(claim.claimer);
    if (known !== undefined && !isNewer(claim, known.claim)) {
      return isSame(claim, known.claim) ? "repeat" : "stale";
    }
    const isActive = claim.state === "open" || claim.state === "moving";
    if (known === undefined && isActive && this.#activeOf(claim.claimer) >= MAX_OPEN_CLAIMS) return "excess";
    if (known === undefined) {
      if (this.#size >= MAX_CLAIMS && !this.#evict()) return "excess";
      this.#size += 1;
    }
    const moved = known === undefined || claim.epoch !== known.claim.epoch || hasMoved(claim, known.claim);
    claims.set(claim.claimer, {
      claim,
      score,
      firstSeen: now,
      progressAt: moved ? now : known.progressAt,
      isVoid: moved ? false : known.isVoid,
    });
    this.#spans.set(claim.span, claims);
    return moved && known === undefined ? "new" : "progress";
  }

  /** When the same message was seen first; undefined if never. */
  firstSeen(claim: Claim): number | undefined {
    const known = this.#spans.get(claim.span)?.get(claim.claimer);
    return known !== undefined && isSame(claim, known.claim) ? known.firstSeen : undefined;
  }

  /** Claims that cover a row now: open or moving and not void, or done and fresh. */
  *covering(span: number, row: number, now: number): Generator<KnownClaim> {
    for (const known of this.#spans.get(span)?.values() ?? []) {
      const { first, count } = known.claim.rows;
      if (row >= first && row < first + count && isValid(known, now)) yield known;
    }
  }

  /** Open and moving claims of all peers that are valid. */
  *active(now: number): Generator<KnownClaim> {
    for (const claims of this.#spans.values()) {
      for (const known of claims.values()) {
        if (isValid(known, now) && (known.claim.state === "open" || known.claim.state === "moving"))
          yield known;
      }
    }
  }

  /** The best valid active claim of a span by rule 9: moving first, then rank. */
  best(span: number, now: number): KnownClaim | undefined {
    let best: KnownClaim | undefined;
    for (const known of this.#spans.get(span)?.values() ?? []) {
      const isActive = known.claim.state === "open" || known.claim.state === "moving";
      if (isActive && isValid(known, now) && (best === undefined || compareClaims(known, best) < 0))
        best = known;
    }
    return best;
  }

  /** Voids claims without progress for `voidMs`; returns the spans that became free. */
  expire(now: number, voidMs: number): number[] {
    const freed: number[] = [];
    for (const [span, claims] of this.#spans) {
      for (const [claimer, known] of claims) {
        const age = now - known.progressAt;
        const isActive = known.claim.state === "open" || known.claim.state === "moving";
        if (isActive && !known.isVoid && age >= Math.max(CLAIM_VOID_MS, voidMs)) {
          known.isVoid = true;
          freed.push(span);
        }
        if (age >= DONE_CLAIM_MS) this.#delete(span, claimer, claims);
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
  deadline(voidMs: number): number {
    let due = Number.POSITIVE_INFINITY;
    for (const claims of this.#spans.values()) {
      for (const known of claims.values()) {
        const isActive = (known.claim.state === "open" || known.claim.state === "moving") && !known.isVoid;
        due = Math.min(due, known.progressAt + (isActive ? Math.max(CLAIM_VOID_MS, voidMs) : DONE_CLAIM_MS));
      }
    }
    return due;
  }

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  #activeOf(claimer: string): number {
    let count = 0;
    for (const claims of this.#spans.values()) {
      const known = claims.get(claimer);
      if (
        known !== undefined &&
        !known.isVoid &&
        (known.claim.state === "open" || known.claim.state === "moving")
      )
        count += 1;
    }
    return count;
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
    claims.delete(claimer);
    this.#size -= 1;
    if (claims.size === 0) this.#spans.delete(span);
  }
}

/** Rule 9: moving bytes beat none, then higher weight, then lower peer id. Negative when `a` wins. */
export function compareClaims(
  a: { readonly claim: Pick<Claim, "state" | "claimer">; readonly score: number },
  b: { readonly claim: Pick<Claim, "state" | "claimer">; readonly score: number },
): number {
  const moving = Number(b.claim.state === "moving") - Number(a.claim.state === "moving");
  if (moving !== 0) return moving;
  return compareRank(
    { score: a.score, peerId: a.claim.claimer },
    { score: b.score, peerId: b.claim.claimer },
  );
}

const ORDER: Readonly<Record<Claim["state"], number>> = { open: 0, moving: 1, done: 2, released: 2 };

function isValid(known: KnownClaim, now: number): boolean {
  if (known.claim.state === "released" || known.isVoid) return false;
  return known.claim.state !== "done" || now - known.progressAt < DONE_CLAIM_MS;
}

function isNewer(a: Claim, b: Claim): boolean {
  if (a.epoch !== b.epoch) return a.epoch > b.epoch;
  return ORDER[a.state] > ORDER[b.state] || (a.state === b.state && a.bytesDone > b.bytesDone);
}

function hasMoved(a: Claim, b: Claim): boolean {
  return a.bytesDone > b.bytesDone || ORDER[a.state] > ORDER[b.state];
}

function isSame(a: Claim, b: Claim): boolean {
  return a.epoch === b.epoch && a.state === b.state && a.bytesDone === b.bytesDone;
}
