import { type Random, shuffled } from "@ckmesh/core";
import { type Claim, peerIdPrefix } from "@ckmesh/wire";
import { ClaimTable } from "./claim-table.js";
import {
  CLAIM_VOID_MS,
  MAX_CLAIMS_PER_SECOND,
  MAX_HOPS,
  RELAY_FANOUT,
  SPARE_RELAYS,
  UNBACKED_BYTES,
} from "./constants.js";
import { GossipDelay } from "./gossip-delay.js";
import type { Link } from "./link.js";
import type { RowTable } from "./row-table.js";
import type { LinkId, SwarmEffect } from "./swarm-messages.js";
import type { UnsignedClaim } from "./wan-claims.js";

/** A frame's size, raw: for rows whose length is not known yet. */
const FRAME_BYTES = 65_536;

interface GossipOptions {
  readonly peerId: string;
  readonly table: RowTable;
  readonly random: Random;
  readonly links: ReadonlyMap<LinkId, Link>;
  readonly sign: (claim: UnsignedClaim) => Claim;
  readonly verify: (claim: Claim) => boolean;
  readonly score: (span: number, peerId: string) => number;
  readonly emit: (effect: SwarmEffect) => void;
}

/** Carries claims through the overlay: own ones signed, others' verified once, filed and relayed (rules 3 and 6). */
export class ClaimGossip {
  readonly claims = new ClaimTable();
  readonly #options: GossipOptions;
  readonly #delay = new GossipDelay();
  /** Claims came, went or expired since this was last cleared. */
  hasNews = false;
  #expireAt = Number.POSITIVE_INFINITY;

  constructor(options: GossipOptions) {
    this.#options = options;
  }

  /** How long news takes to reach everybody, ms. */
  get delayMs(): number {
    let rtt = 0;
    for (const link of this.#options.links.values()) rtt = Math.max(rtt, link.rttMs);
    return this.#delay.estimate(rtt);
  }

  /** Signs an own claim and sends it to all peers, or to one. */
  announce(claim: UnsignedClaim, only?: Link): void {
    if (this.#options.links.size === 0) return;
    const signed = this.#options.sign(claim);
    for (const link of only === undefined ? this.#options.links.values() : [only])
      this.#send(link, signed, 0);
  }

  /** Tells a new peer the claims that hold. */
  greet(link: Link): void {
    for (const { claim } of this.claims.active())
      if (claim.claimer !== link.peerId) this.#send(link, claim, 1);
  }

  /**
   * Until when the origin told a neighbour to wait: it counts by site, so that holds for this client too. 0: nobody.
   * The word of peers without a link here counts for their own claims only: ids cost nothing to make.
   */
  pausedUntil(): number {
    let until = 0;
    for (const { claim, progressAt } of this.claims.active()) {
      if (claim.state !== "paused" || progressAt <= until) continue;
      for (const link of this.#options.links.values()) if (link.peerId === claim.claimer) until = progressAt;
    }
    return until;
  }

  /** Files a claim that arrived; true if it may change what this client does. */
  receive(from: Link, claim: Claim, hops: number, now: number): boolean {
    if (now - from.claimsSince >= 1000) {
      from.claimsSince = now;
      from.claimCount = 0;
    }
    from.claimCount += 1;
    if (from.claimCount > MAX_CLAIMS_PER_SECOND || claim.claimer === this.#options.peerId) return false;
    if (!this.#isPlausible(claim)) return false;
    const seen = this.claims.firstSeen(claim);
    if (seen !== undefined) {
      this.#delay.observe(now - seen);
      return false;
    }
    if (!this.#options.verify(claim)) return false;
    const news = this.claims.add(
      claim,
      this.#options.score(claim.span, claim.claimer),
      now,
      this.#backed(claim),
      this.#largestRow(claim),
    );
    if (news !== "new" && news !== "progress") return false;
    this.hasNews = true;
    this.#expireAt = Math.min(this.#expireAt, now + CLAIM_VOID_MS);
    if (hops + 1 < MAX_HOPS) this.#relay(from, claim, hops + 1);
    return true;
  }

  /** To those who are not linked with the claimer themselves; what opens a claim to one of the others all the same. */
  #relay(from: Link, claim: Claim, hops: number): void {
    const { links, random } = this.#options;
    const others = [...links.values()].filter((l) => l !== from && l.peerId !== claim.claimer);
    const claimer = peerIdPrefix(claim.claimer);
    const needy = others.filter((l) => !l.neighbours.has(claimer));
    const isSpare = needy.length === 0 && claim.state === "open";
    const chosen = shuffled(random, isSpare ? others : needy).slice(0, isSpare ? SPARE_RELAYS : RELAY_FANOUT);
    for (const link of chosen) this.#send(link, claim, hops);
  }

  /** A peer that was connected has gone: its claims are void. */
  gone(peerId: string): void {
    if (this.claims.drop(peerId).length > 0) this.hasNews = true;
  }

  /** Voids what stopped moving; returns when to look again. */
  expire(now: number): number {
    if (now < this.#expireAt) return this.#expireAt;
    const voidMs = 4 * this.delayMs;
    if (this.claims.expire(now, voidMs).length > 0) this.hasNews = true;
    this.#expireAt = this.claims.deadline(voidMs);
    return this.#expireAt;
  }

  /** The rows lie in the span, as far as spans are known; others are judged once the frame table is here. */
  #isPlausible({ span, rows }: Claim): boolean {
    const { grid, rows: total } = this.#options.table;
    if (span >= grid.count)
      return span < total && rows.first + rows.count <= total && !this.#options.table.framesKnown;
    const own = grid.rowsOf(span);
    return rows.first >= own.first && rows.first + rows.count <= own.first + own.count;
  }

  /** Of a connected claimer, what its haves bear out; of others, what they say: patience bounds the harm. */
  #backed(claim: Claim): number {
    const { grid } = this.#options.table;
    if (claim.span >= grid.count) return claim.bytesDone;
    for (const link of this.#options.links.values()) {
      if (link.peerId !== claim.claimer) continue;
      let offered = UNBACKED_BYTES;
      for (let row = claim.rows.first; row < claim.rows.first + claim.rows.count; row++) {
        if (link.bits.has(row)) offered += grid.rowBytes(row);
      }
      return Math.min(claim.bytesDone, offered);
    }
    return claim.bytesDone;
  }

  #largestRow({ span, rows }: Claim): number {
    const { grid } = this.#options.table;
    if (span >= grid.count) return FRAME_BYTES;
    let largest = 0;
    for (let row = rows.first; row < rows.first + rows.count; row++)
      largest = Math.max(largest, grid.rowBytes(row));
    return largest;
  }

  #send(link: Link, claim: Claim, hops: number): void {
    this.#options.emit({ type: "send", link: link.id, message: { type: "claim", claim, hops } });
  }
}
