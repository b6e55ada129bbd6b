import type { Random } from "@ckmesh/core";
import { FASTER, MAX_MOVING_CLAIMS } from "../constants.js";
import type { Turn, WanLane } from "../wan/wan-lane.js";
import type { WanRate } from "../wan/wan-rate.js";
import { type Contender, compareClaims } from "./claim-contest.js";
import type { ClaimTable } from "./claim-table.js";
import type { OwnClaim } from "./own-claim.js";

export interface ClaimRoomContext {
  readonly peerId: string;
  readonly claims: ClaimTable;
  readonly random: Random;
  /** What the WAN budget lets this swarm do. */
  readonly lane: WanLane;
  /** Machines that may be in the site, as far as known. */
  readonly siteSize: () => number;
  readonly gossipMs: () => number;
}

/** Whether there is room for claims of this client beside those of others (site swarm rules 5, 9, 10). */
export class ClaimRoom {
  readonly #context: ClaimRoomContext;
  readonly #rate: WanRate;
  /** When it is this machine's turn to open a first claim; undefined: not drawn. */
  #turnAt: number | undefined;

  constructor(context: ClaimRoomContext, rate: WanRate) {
    this.#context = context;
    this.#rate = rate;
  }

  /** A claim of this client, as it stands in conflicts. */
  contender({ state, score }: Pick<OwnClaim, "state" | "score">, now: number): Contender {
    return { claim: { state, claimer: this.#context.peerId }, score, rate: this.#rate.value(now) };
  }

  /** Rules 9 and 10: no better claim on the span, and room among the site's moving claims. */
  mayStart(own: OwnClaim, now: number): boolean {
    const { claims, lane } = this.#context;
    const mine = this.contender(own, now);
    const rival = claims.best(own.span);
    if (rival !== undefined && compareClaims(mine, rival) > 0) return false;
    if (lane.isLimited) return this.has(now, own.isNext ? "next" : "start", mine);
    const ahead = new Set<string>();
    for (const known of claims.active()) {
      if (known.claim.state === "moving" || compareClaims(known, mine) < 0) ahead.add(known.claim.claimer);
    }
    return ahead.size < MAX_MOVING_CLAIMS;
  }

  /** Rule 10, before a first claim: fewer than four others fetch or mean to. */
  has(now: number, turn: Turn = "first", mine?: Contender): boolean {
    const { claims, lane } = this.#context;
    if (lane.isLimited)
      return lane.hasRoom(turn, mine ?? this.contender({ state: "open", score: 0 }, now), now);
    return turn === "next" || claims.claimers.count < MAX_MOVING_CLAIMS;
  }

  /**
   * When this machine may open a first claim: where many could, each waits a random part of the time in which
   * about four would. Without that, 200 machines claim in the same moment.
   */
  turnAt(now: number): number {
    if (this.#isSlow(now) || !this.has(now)) {
      this.#turnAt = undefined;
      return Number.POSITIVE_INFINITY;
    }
    const { gossipMs, siteSize, random } = this.#context;
    const crowd = Math.max(0, siteSize() / MAX_MOVING_CLAIMS - 1);
    this.#turnAt ??= now + random.next() * gossipMs() * crowd;
    return this.#turnAt;
  }

  /** A claim was opened: the next turn is drawn anew. */
  turnTaken(): void {
    this.#turnAt = undefined;
  }

  /** Rule 5: a machine measured at less than a quarter of the others leaves the WAN to them. */
  #isSlow(now: number): boolean {
    const rate = this.#rate.value(now);
    return rate > 0 && rate * FASTER <= this.#context.claims.claimers.medianRate;
  }
}
