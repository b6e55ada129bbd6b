import { type Random, shuffled } from "@ckmesh/core";
import { type Claim, peerIdPrefix } from "@ckmesh/wire";
import {
  CLAIM_VOID_MS,
  EXPIRE_MS,
  FLOOD_CLAIMS_PER_SECOND,
  MAX_CLAIMS_PER_SECOND,
  MAX_HOPS,
  MAX_OFFENCES,
  MAX_VOIDS_PER_LINK,
  MUTE_MS,
  RELAY_FANOUT,
  SPARE_RELAYS,
} from "../constants.js";
import { GossipDelay } from "../gossip-delay.js";
import type { Link } from "../links/link.js";
import type { RowTable } from "../rows/row-table.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import type { UnsignedClaim } from "./claim-announcer.js";
import { ClaimTable } from "./claim-table.js";
import type { KnownClaim } from "./known-claim.js";

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
  readonly #offenders: Link[] = [];

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
    const isOwnWord = claim.claimer === from.peerId;
    if (from.claimCount > FLOOD_CLAIMS_PER_SECOND) return this.#offended(from);
    if (from.claimCount > MAX_CLAIMS_PER_SECOND) return false;
    if (claim.claimer === this.#options.peerId) return false;
    if ((hops === 0 && !isOwnWord) || !this.#isPlausible(claim)) return this.#offended(from);
    const seen = this.claims.firstSeen(claim);
    if (seen !== undefined) {
      this.#delay.observe(now - seen);
      return false;
    }
    const neighbour = isOwnWord ? from : this.#linkTo(claim.claimer);
    if (neighbour === undefined && from.mutedUntil > now) return false;
    if (!this.#options.verify(claim)) return this.#offended(from);
    const news = this.claims.add(
      claim,
      this.claims.scoreOf(claim.span, claim.claimer) ?? this.#options.score(claim.span, claim.claimer),
      now,
      {
        borneOutBytes: this.#borneOut(claim, neighbour),
        rowBytes: this.#largestRow(claim),
        isNeighbour: neighbour !== undefined,
        isOwnWord,
        via: from.id,
      },
    );
    if (isOwnWord) from.claimedAt = now;
    if (news === "replay") return this.#offended(from);
    if (news !== "new" && news !== "progress") return false;
    if (neighbour === undefined && this.claims.standings.isProven(claim.claimer)) from.voidsTold = 0;
    this.hasNews = true;
    this.#expireAt = Math.min(this.#expireAt, now + CLAIM_VOID_MS);
    if (hops + 1 < MAX_HOPS) this.#relay(from, claim, hops + 1);
    return true;
  }

  /** True if the peer may not claim, or not tell of others' claims, for now. */
  isDeafTo(peerId: string, now: number): boolean {
    return this.claims.standings.isBarred(peerId, now) || (this.#linkTo(peerId)?.mutedUntil ?? 0) > now;
  }

  /** Links that sent what no honest peer sends, too often; each is named once. */
  takeOffenders(): Link[] {
    return this.#offenders.splice(0);
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
    const { freed, liars, vias } = this.claims.expire(now, voidMs, (known) => this.#isShown(known));
    if (freed.length > 0) this.hasNews = true;
    for (const claimer of liars) {
      const link = this.#linkTo(claimer);
      if (link !== undefined && this.claims.standings.isBarred(claimer, now)) this.#offenders.push(link);
    }
    for (const via of vias) this.#toldVoid(this.#options.links.get(via), now);
    this.#expireAt = Math.max(now + EXPIRE_MS, this.claims.deadline(voidMs));
    return this.#expireAt;
  }

  /** Patience ran out: see {@link ClaimTable.distrust}. */
  distrust(now: number): void {
    this.claims.distrust(now);
    this.hasNews = true;
  }

  /** A link that tells of one stranger after the other whose claims come to nothing is not listened to for a while. */
  #toldVoid(link: Link | undefined, now: number): void {
    if (link === undefined) return;
    link.voidsTold += 1;
    if (link.voidsTold < MAX_VOIDS_PER_LINK) return;
    link.voidsTold = 0;
    link.mutedUntil = now + MUTE_MS;
  }

  #offended(link: Link): false {
    link.offences += 1;
    if (link.offences === MAX_OFFENCES) this.#offenders.push(link);
    return false;
  }

  #linkTo(peerId: string): Link | undefined {
    for (const link of this.#options.links.values()) if (link.peerId === peerId) return link;
    return undefined;
  }

  /** Of a neighbour that has finished, every row is around; of others, a first one. */
  #isShown({ claim: { rows }, isNeighbour }: KnownClaim): boolean {
    for (let row = rows.first; row < rows.first + rows.count; row++) {
      if (this.#isAround(row) !== isNeighbour) return !isNeighbour;
    }
    return isNeighbour;
  }

  /** True if the row is held here or on offer at a connected peer. */
  #isAround(row: number): boolean {
    if (this.#options.table.have.has(row)) return true;
    for (const link of this.#options.links.values()) if (link.bits.has(row)) return true;
    return false;
  }

  /** The rows lie in the span, as far as spans are known; others are judged once the frame table is here. */
  #isPlausible({ span, rows }: Claim): boolean {
    const { grid, rows: total } = this.#options.table;
    if (span >= grid.count)
      return span < total && rows.first + rows.count <= total && !this.#options.table.framesKnown;
    const own = grid.rowsOf(span);
    return rows.first >= own.first && rows.first + rows.count <= own.first + own.count;
  }

  /** Of a neighbour, what its haves bear out; of others, what is around of the rows they claim. */
  #borneOut({ span, rows, bytesDone }: Claim, neighbour: Link | undefined): number {
    const { grid } = this.#options.table;
    if (span >= grid.count) return bytesDone;
    let bytes = 0;
    for (let row = rows.first; row < rows.first + rows.count; row++) {
      if (neighbour?.bits.has(row) ?? this.#isAround(row)) bytes += grid.rowBytes(row);
    }
    return bytes;
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
