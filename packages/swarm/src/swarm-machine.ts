import type { Bitfield, Run } from "@ckmesh/core";
import type { PeerAddress } from "@ckmesh/wire";
import { MAX_BAD_ROWS } from "./constants.js";
import type { Link } from "./links/link.js";
import { type OfferMessage, takeOffer } from "./rows/offers.js";
import type { SwarmConfig, SwarmStatus } from "./swarm-config.js";
import type { LinkId, SwarmEffect, SwarmEvent } from "./swarm-messages.js";
import { SwarmParts } from "./swarm-parts.js";

/**
 * All decisions of one client about one version: whom to dial, what to ask of whom, what to fetch at the
 * origin, whom to serve. Pure: events in, effects out, time and randomness given.
 */
export class SwarmMachine {
  readonly #config: SwarmConfig;
  readonly #parts: SwarmParts;
  readonly #links: ReadonlyMap<LinkId, Link>;
  #effects: SwarmEffect[] = [];
  #saidComplete = false;
  #wakeAt = 0;

  constructor(config: SwarmConfig, now: number) {
    this.#config = config;
    this.#parts = new SwarmParts(config, (effect) => void this.#effects.push(effect), now);
    this.#links = this.#parts.members.links;
  }

  /** Monotonic ms at which `step` wants a tick, if nothing comes before; undefined: never. */
  deadline(): number | undefined {
    return Number.isFinite(this.#wakeAt) ? this.#wakeAt : undefined;
  }

  status(): SwarmStatus {
    return {
      links: this.#links.size,
      held: this.#parts.table.have.count,
      missing: this.#parts.table.missing,
      moving: this.#parts.wan.moving,
      isSettled: this.#parts.settling.isSettled,
    };
  }

  /** True if the peer may not connect, or nothing that it says of claims counts, for now. */
  isShutOut(peerId: string, now: number): boolean {
    return this.#parts.members.bans.has(peerId, now) || this.#parts.gossip.isDeafTo(peerId, now);
  }

  /** Entries of everything that others can make grow. */
  tables(): Readonly<Record<"links" | "addresses" | "bans" | "claims" | "claimers", number>> {
    return {
      links: this.#links.size,
      addresses: this.#parts.members.dialer.size,
      bans: this.#parts.members.bans.size,
      claims: this.#parts.gossip.claims.size,
      claimers: this.#parts.gossip.claims.standings.size,
    };
  }

  /** True if a connected peer offers the row. */
  isOffered(row: number): boolean {
    return this.#parts.picker.isOffered(row);
  }

  /** True if another machine fetches frames over the WAN, as it says. */
  get isFetchedElsewhere(): boolean {
    const { gossip, table } = this.#parts;
    return gossip.claims.active().some(({ claim }) => claim.rows.first >= table.pieceRows);
  }

  /** Connected peers that offer every row. */
  get holders(): number {
    return this.#parts.newer.holders;
  }

  /** Of these rows, those that are missing, and how many of them others offer or promise. */
  expected(rows: Bitfield): { readonly missing: number; readonly coming: number } {
    return this.#parts.promises.expected(rows);
  }

  /** Addresses of connected peers that take connections: worth remembering for the next start. */
  peers(): PeerAddress[] {
    return this.#parts.members.addresses();
  }

  /** The swarm ends: what it had of the WAN budget is free. */
  close(): void {
    this.#parts.lane.close();
  }

  /** Advances by one event; `now` is monotonic and never goes back. */
  step(event: SwarmEvent, now: number): readonly SwarmEffect[] {
    this.#take(event, now);
    this.#run(event, now);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #take(event: SwarmEvent, now: number): void {
    switch (event.type) {
      case "candidates":
        if (!this.#config.swarming) return;
        this.#parts.members.dialer.add(event.peers, now);
        if (event.complete === true) this.#parts.settling.listed(event.peers);
        return;
      case "networks":
        this.#parts.members.dialer.setNetworks(event.own, event.site);
        return;
      case "dial-failed":
        this.#parts.members.dialer.failed(event.peer, now);
        return;
      case "peer-up":
        this.#up(event, now);
        return;
      case "peer-down":
        this.#parts.members.down(event.link, now);
        return;
      case "message":
        this.#message(event, now);
        return;
      case "piece":
        this.#piece(event, now);
        return;
      case "uploaded": {
        const link = this.#links.get(event.link);
        if (link !== undefined) this.#parts.slots.uploaded(link, event.row, event.length, event.ok);
        return;
      }
      case "stored":
        this.#stored(event.runs, now);
        if (event.source === "local") this.#parts.promises.moved(rowsOf(event.runs));
        if (event.fetch !== undefined) {
          this.#parts.wan.stored(
            event.fetch,
            event.runs.reduce((sum, run) => sum + this.#parts.table.grid.runBytes(run), 0),
            now,
          );
        }
        return;
      case "lost":
        for (const run of event.runs) {
          this.#parts.table.lose(run);
          this.#parts.picker.freed(run);
        }
        this.#parts.picker.lookAgain();
        this.#parts.haves.lost(event.runs);
        this.#saidComplete = false;
        return;
      case "fetch-ended":
        this.#parts.wan.ended(event.fetch, event.result, event.retryMs, now);
        return;
      case "frames":
        this.#parts.table.addFrames(event.lengths, event.wanted);
        this.#parts.promises.framesKnown(now);
        if (event.local !== undefined) this.#parts.others.planLocal(event.local);
        this.#parts.wan.reorder();
        this.#parts.picker.offerAllOf();
        return;
      case "local-plan":
        this.#parts.others.planLocal(event.rows);
        return;
      case "local-done":
        this.#parts.others.localDone();
        return;
      case "beside":
        this.#parts.promises.setBeside(event.rows, event.isSure);
        return;
      case "beside-came":
        this.#parts.wan.verified(now);
        this.#parts.promises.moved(0);
        return;
      case "newer":
        this.#parts.newer.say(event.version);
        return;
      case "elsewhere":
        this.#parts.others.elsewhere(event.runs, event.isAsked);
        return;
      case "first-byte":
        this.#parts.wan.firstByte(event.ms, now);
        return;
      case "origin-gate":
        this.#parts.wan.setGate(event.open, now);
        return;
      case "tick":
        return;
    }
  }

  /** Everything that time or the last event made due. */
  #run(event: SwarmEvent, now: number): void {
    const wants = !this.#parts.table.isComplete;
    const expired = this.#parts.gossip.expire(now);
    this.#parts.newer.run();
    for (const link of [...this.#parts.gossip.takeOffenders(), ...this.#parts.picker.run(now)])
      this.#parts.members.shutOut(link, now);
    let wake = Math.min(
      this.#parts.settling.run(now),
      expired,
      this.#parts.promises.run(now),
      this.#parts.haves.flush(now),
      this.#parts.slots.rotate(now),
      this.#parts.picker.deadline(),
    );
    if (wants)
      wake = Math.min(wake, this.#parts.wan.run(now, this.#parts.settling.isSettled, this.#mayClaim(event)));
    wake = Math.min(wake, this.#parts.members.run(now));
    if (this.#parts.table.isComplete && !this.#saidComplete) {
      this.#saidComplete = true;
      this.#effects.push({ type: "complete" });
    }
    this.#wakeAt = Math.max(wake, now + 1);
  }

  /** False for events that cannot make a span claimable: most messages of peers, and right pieces. */
  #mayClaim(event: SwarmEvent): boolean {
    const hasNews = this.#parts.gossip.hasNews || this.#parts.promises.hasNews;
    this.#parts.gossip.hasNews = false;
    this.#parts.promises.hasNews = false;
    if (event.type === "message")
      return hasNews || event.message.type === "reject" || event.message.type === "lost";
    if (event.type === "piece") return hasNews || event.bad.length > 0 || event.good.length === 0;
    return hasNews || event.type !== "uploaded";
  }

  #up(event: Extract<SwarmEvent, { type: "peer-up" }>, now: number): void {
    const link = this.#parts.members.up(event, now);
    if (link === undefined) return;
    this.#parts.haves.greet(link);
    for (const claim of this.#parts.wan.current(now)) this.#parts.gossip.announce(claim, link);
    this.#parts.gossip.greet(link);
    this.#parts.promises.greet(link);
  }

  #message({ link: id, message }: Extract<SwarmEvent, { type: "message" }>, now: number): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    switch (message.type) {
      case "choke":
        this.#parts.picker.choked(link, now);
        return;
      case "unchoke":
        this.#parts.picker.unchoked(link);
        return;
      case "interested":
      case "not-interested":
        this.#parts.slots.interested(link, message.type === "interested", now);
        return;
      case "bitfield":
      case "have-all":
      case "have-none":
      case "have":
      case "lost":
        this.#offers(link, message, now);
        return;
      case "request":
        this.#parts.slots.request(link, message.row, message.length);
        return;
      case "cancel":
        this.#parts.slots.cancel(link, message.row, message.length);
        return;
      case "reject":
        this.#parts.picker.rejected(link, message.row, now);
        return;
      case "claim":
        if (!this.#parts.gossip.receive(link, message.claim, message.hops, now)) return;
        this.#parts.lane.heard(message.claim, now);
        this.#parts.wan.contest(message.claim.span, now);
        return;
      case "promise": {
        const news = this.#parts.promises.receive(link, message.promise, message.hops, now);
        if (news === "new") this.#parts.wan.promised(now);
        else if (news === "word") this.#parts.wan.heardOfWork(now);
        return;
      }
      case "peers":
        this.#parts.members.dialer.add(message.peers, now, link.peerId);
        return;
      case "neighbours":
        this.#parts.members.heardNeighbours(link, message.ids, now);
        this.#parts.promises.lookForDistant();
        return;
      case "newer":
        this.#effects.push({ type: "heard-newer", version: message.version, peerId: link.peerId });
        return;
      case "bad-rows":
        // The driver reads those rows again and reports `lost` if the peer was right.
        return;
    }
  }

  #offers(link: Link, message: OfferMessage, now: number): void {
    if (!takeOffer(link, message, this.#config.rows, this.#parts.picker))
      this.#parts.members.shutOut(link, now);
    else if (message.type === "lost") this.#parts.haves.needs(link, message.runs, now);
    else if (message.type === "have") this.#parts.promises.came(message.runs, now);
  }

  #piece(event: Extract<SwarmEvent, { type: "piece" }>, now: number): void {
    const link = this.#links.get(event.link);
    if (link !== undefined) {
      const asked = link.asked.get(event.row);
      if (asked !== undefined) link.measure(asked.bytes, now);
    }
    this.#stored(event.good, now, link);
    if (link === undefined) return;
    this.#parts.picker.unask(link, event.row);
    if (event.bad.length === 0) return this.#parts.picker.withdraw(link, event.row);
    let strikes = 0;
    for (const run of event.bad) {
      strikes = this.#parts.members.bans.strike(link.peerId, run.count);
      for (let row = run.first; row < run.first + run.count; row++) link.bits.delete(row);
    }
    this.#effects.push({ type: "send", link: link.id, message: { type: "bad-rows", runs: event.bad } });
    if (strikes >= MAX_BAD_ROWS) this.#parts.members.ban(link, now);
  }

  #stored(runs: readonly Run[], now: number, from?: Link): void {
    for (const run of runs) {
      const fresh = this.#parts.table.hold(run);
      if (fresh.length === 0) continue;
      this.#parts.haves.gained(fresh, now, from);
      this.#parts.promises.came(fresh, now);
      this.#parts.wan.verified(now);
    }
    if (this.#parts.table.unlock()) this.#parts.others.unlocked();
  }
}

function rowsOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}
