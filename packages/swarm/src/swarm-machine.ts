import { type Run, toHex } from "@ckmesh/core";
import type { PeerAddress, PeerClass } from "@ckmesh/wire";
import { ClaimGossip } from "./claim-gossip.js";
import { CLAIM_ECHO_MS, MAX_BAD_ROWS } from "./constants.js";
import { HaveGossip } from "./have-gossip.js";
import type { Link } from "./link.js";
import { Membership } from "./membership.js";
import { type OfferMessage, takeOffer } from "./offers.js";
import { OtherSources } from "./other-sources.js";
import { PromiseGossip } from "./promise-gossip.js";
import { CLASS_WEIGHT, spanScore } from "./rank.js";
import { RequestPicker } from "./request-picker.js";
import { RowTable } from "./row-table.js";
import { Settling } from "./settling.js";
import type { SwarmConfig, SwarmStatus } from "./swarm-config.js";
import type { LinkId, SwarmEffect, SwarmEvent } from "./swarm-messages.js";
import { UploadSlots } from "./upload-slots.js";
import { WanClaims } from "./wan-claims.js";
import { WanLane } from "./wan-lane.js";
import { WanPacer } from "./wan-pacer.js";

/**
 * All decisions of one client about one version: whom to dial, what to ask of whom, what to fetch at the
 * origin, whom to serve. Pure: events in, effects out, time and randomness given.
 */
export class SwarmMachine {
  readonly #config: SwarmConfig;
  readonly #table: RowTable;
  readonly #members: Membership;
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #picker: RequestPicker;
  readonly #slots: UploadSlots;
  readonly #gossip: ClaimGossip;
  readonly #haves: HaveGossip;
  readonly #wan: WanClaims;
  readonly #promises: PromiseGossip;
  readonly #others: OtherSources;
  readonly #lane: WanLane;
  readonly #settling: Settling;
  #effects: SwarmEffect[] = [];
  #saidComplete = false;
  #wakeAt = 0;

  constructor(config: SwarmConfig, now: number) {
    this.#config = config;
    this.#table = new RowTable(
      config.rows,
      config.sections,
      config.have,
      config.hashesRows,
      config.spanBytes,
    );
    const emit = (effect: SwarmEffect): void => void this.#effects.push(effect);
    const score = (span: number, peerId: string): number =>
      spanScore(config.versionId, span, peerId, CLASS_WEIGHT[this.#classOf(peerId)]);
    this.#members = new Membership(
      {
        ...config,
        emit,
        isBusy: (link, at) => this.#isBusy(link, at),
        gone: (link) => this.#gone(link),
      },
      now,
    );
    this.#links = this.#members.links;
    const { dialer } = this.#members;
    this.#settling = new Settling(
      {
        links: () => this.#links.values(),
        gossipMs: () => this.#gossip.delayMs,
        hasAnswered: (peer) => dialer.hasAnswered(peer),
      },
      !config.swarming,
      now,
    );
    this.#picker = new RequestPicker(
      this.#table,
      this.#links,
      config.random,
      emit,
      config.tellsAsked === true,
    );
    this.#slots = new UploadSlots(this.#links, (row, length) => this.#table.holds(row, length), emit);
    this.#haves = new HaveGossip(this.#table, this.#links, emit);
    const shared = { ...config, links: this.#links, table: this.#table, emit };
    this.#gossip = new ClaimGossip({ ...shared, score });
    const isOffered = (row: number): boolean => this.#picker.isOffered(row);
    this.#promises = new PromiseGossip({ ...shared, isOffered });
    this.#others = new OtherSources(this.#table, this.#picker, this.#promises);
    this.#lane = new WanLane(config.wan ?? new WanPacer({ type: "none" }), {
      id: toHex(config.versionId),
      claims: () => this.#gossip.claims.active(),
      ownRate: () => this.#wan.announcedRate,
      isClaiming: () => this.#wan.isClaiming,
    });
    this.#wan = new WanClaims(
      {
        ...shared,
        claims: this.#gossip.claims,
        lane: this.#lane,
        score,
        isOffered,
        isPromised: (row) => this.#promises.isPromised(row),
        hasLinks: () => this.#links.size > 0,
        siteSize: () => 1 + Math.max(this.#links.size, dialer.size),
        gossipMs: () => this.#gossip.delayMs,
        distrust: (at) => this.#gossip.distrust(at),
        pausedUntil: () => this.#gossip.pausedUntil(),
        announce: (claim) => this.#gossip.announce(claim),
        freed: (run) => this.#picker.freed(run),
      },
      config.epoch,
      now,
    );
  }

  /** Monotonic ms at which `step` wants a tick, if nothing comes before; undefined: never. */
  deadline(): number | undefined {
    return Number.isFinite(this.#wakeAt) ? this.#wakeAt : undefined;
  }

  status(): SwarmStatus {
    return {
      links: this.#links.size,
      held: this.#table.have.count,
      missing: this.#table.missing,
      moving: this.#wan.moving,
      isSettled: this.#settling.isSettled,
    };
  }

  /** True if the peer may not connect, or nothing that it says of claims counts, for now. */
  isShutOut(peerId: string, now: number): boolean {
    return this.#members.bans.has(peerId, now) || this.#gossip.isDeafTo(peerId, now);
  }

  /** Entries of everything that others can make grow. */
  tables(): Readonly<Record<"links" | "addresses" | "bans" | "claims" | "claimers", number>> {
    return {
      links: this.#links.size,
      addresses: this.#members.dialer.size,
      bans: this.#members.bans.size,
      claims: this.#gossip.claims.size,
      claimers: this.#gossip.claims.standings.size,
    };
  }

  /** True if a connected peer offers the row. */
  isOffered(row: number): boolean {
    return this.#picker.isOffered(row);
  }

  /** Addresses of connected peers that take connections: worth remembering for the next start. */
  peers(): PeerAddress[] {
    return this.#members.addresses();
  }

  /** The swarm ends: what it had of the WAN budget is free. */
  close(): void {
    this.#lane.close();
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
        this.#members.dialer.add(event.peers, now);
        if (event.complete === true) this.#settling.listed(event.peers);
        return;
      case "networks":
        this.#members.dialer.setNetworks(event.own, event.site);
        return;
      case "dial-failed":
        this.#members.dialer.failed(event.peer, now);
        return;
      case "peer-up":
        this.#up(event, now);
        return;
      case "peer-down":
        this.#members.down(event.link, now);
        return;
      case "message":
        this.#message(event, now);
        return;
      case "piece":
        this.#piece(event, now);
        return;
      case "uploaded": {
        const link = this.#links.get(event.link);
        if (link !== undefined) this.#slots.uploaded(link, event.row, event.length, event.ok);
        return;
      }
      case "stored":
        this.#stored(event.runs, now);
        if (event.fetch !== undefined) {
          this.#wan.stored(
            event.fetch,
            event.runs.reduce((sum, run) => sum + this.#table.grid.runBytes(run), 0),
            now,
          );
        }
        return;
      case "lost":
        for (const run of event.runs) {
          this.#table.lose(run);
          this.#picker.freed(run);
        }
        this.#picker.lookAgain();
        this.#haves.lost(event.runs);
        this.#saidComplete = false;
        return;
      case "fetch-ended":
        this.#wan.ended(event.fetch, event.result, event.retryMs, now);
        return;
      case "frames":
        this.#table.addFrames(event.lengths, event.wanted);
        this.#promises.framesKnown(now);
        if (event.local !== undefined) this.#others.planLocal(event.local);
        this.#wan.reorder();
        this.#picker.offerAllOf();
        return;
      case "local-plan":
        this.#others.planLocal(event.rows);
        return;
      case "local-done":
        this.#others.localDone();
        return;
      case "beside":
        this.#promises.setBeside(event.rows, event.isSure);
        return;
      case "elsewhere":
        this.#others.elsewhere(event.runs, event.isAsked);
        return;
      case "first-byte":
        this.#wan.firstByte(event.ms, now);
        return;
      case "origin-gate":
        this.#wan.setGate(event.open, now);
        return;
      case "tick":
        return;
    }
  }

  /** Everything that time or the last event made due. */
  #run(event: SwarmEvent, now: number): void {
    const wants = !this.#table.isComplete;
    const expired = this.#gossip.expire(now);
    for (const link of [...this.#gossip.takeOffenders(), ...this.#picker.run(now)])
      this.#members.shutOut(link, now);
    let wake = Math.min(
      this.#settling.run(now),
      expired,
      this.#promises.run(now),
      this.#haves.flush(now),
      this.#slots.rotate(now),
      this.#picker.deadline(),
    );
    if (wants) wake = Math.min(wake, this.#wan.run(now, this.#settling.isSettled, this.#mayClaim(event)));
    wake = Math.min(wake, this.#members.run(now));
    if (this.#table.isComplete && !this.#saidComplete) {
      this.#saidComplete = true;
      this.#effects.push({ type: "complete" });
    }
    this.#wakeAt = Math.max(wake, now + 1);
  }

  /** False for events that cannot make a span claimable: most messages of peers, and right pieces. */
  #mayClaim(event: SwarmEvent): boolean {
    const hasNews = this.#gossip.hasNews || this.#promises.hasNews;
    this.#gossip.hasNews = false;
    this.#promises.hasNews = false;
    if (event.type === "message")
      return hasNews || event.message.type === "reject" || event.message.type === "lost";
    if (event.type === "piece") return hasNews || event.bad.length > 0 || event.good.length === 0;
    return hasNews || event.type !== "uploaded";
  }

  #up(event: Extract<SwarmEvent, { type: "peer-up" }>, now: number): void {
    const link = this.#members.up(event, now);
    if (link === undefined) return;
    this.#haves.greet(link);
    for (const claim of this.#wan.current(now)) this.#gossip.announce(claim, link);
    this.#gossip.greet(link);
    this.#promises.greet(link);
  }

  #gone(link: Link): void {
    this.#picker.gone(link);
    this.#slots.gone(link);
    if ([...this.#links.values()].some((l) => l.peerId === link.peerId)) return;
    this.#gossip.gone(link.peerId);
    this.#promises.gone(link.peerId);
  }

  /**
   * Rows move over the link, or one end brings some from the WAN, or did a moment ago: who is not linked with it any
   * more neither sees them on offer nor believes the claim.
   */
  #isBusy(link: Link, now: number): boolean {
    const isMoving = link.asked.size > 0 || link.uploading > 0 || link.waiting.length > 0;
    return isMoving || now - Math.max(link.claimedAt, this.#wan.saidAt) < CLAIM_ECHO_MS;
  }

  #message({ link: id, message }: Extract<SwarmEvent, { type: "message" }>, now: number): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    switch (message.type) {
      case "choke":
        this.#picker.choked(link, now);
        return;
      case "unchoke":
        this.#picker.unchoked(link);
        return;
      case "interested":
      case "not-interested":
        this.#slots.interested(link, message.type === "interested", now);
        return;
      case "bitfield":
      case "have-all":
      case "have-none":
      case "have":
      case "lost":
        this.#offers(link, message, now);
        return;
      case "request":
        this.#slots.request(link, message.row, message.length);
        return;
      case "cancel":
        this.#slots.cancel(link, message.row, message.length);
        return;
      case "reject":
        this.#picker.rejected(link, message.row, now);
        return;
      case "claim":
        if (!this.#gossip.receive(link, message.claim, message.hops, now)) return;
        this.#lane.heard(message.claim, now);
        this.#wan.contest(message.claim.span, now);
        return;
      case "promise":
        if (this.#promises.receive(link, message.promise, message.hops, now)) this.#wan.promised(now);
        return;
      case "peers":
        this.#members.dialer.add(message.peers, now, link.peerId);
        return;
      case "neighbours":
        this.#members.heardNeighbours(link, message.ids, now);
        return;
      case "bad-rows":
        // The driver reads those rows again and reports `lost` if the peer was right.
        return;
    }
  }

  #offers(link: Link, message: OfferMessage, now: number): void {
    if (!takeOffer(link, message, this.#config.rows, this.#picker)) this.#members.shutOut(link, now);
    else if (message.type === "lost") this.#haves.needs(link, message.runs, now);
    else if (message.type === "have") this.#promises.came(message.runs, now);
  }

  #piece(event: Extract<SwarmEvent, { type: "piece" }>, now: number): void {
    const link = this.#links.get(event.link);
    if (link !== undefined) {
      const asked = link.asked.get(event.row);
      if (asked !== undefined) link.measure(asked.bytes, now);
    }
    this.#stored(event.good, now, link);
    if (link === undefined) return;
    this.#picker.unask(link, event.row);
    if (event.bad.length === 0) return this.#picker.withdraw(link, event.row);
    let strikes = 0;
    for (const run of event.bad) {
      strikes = this.#members.bans.strike(link.peerId, run.count);
      for (let row = run.first; row < run.first + run.count; row++) link.bits.delete(row);
    }
    this.#effects.push({ type: "send", link: link.id, message: { type: "bad-rows", runs: event.bad } });
    if (strikes >= MAX_BAD_ROWS) this.#members.ban(link, now);
  }

  #stored(runs: readonly Run[], now: number, from?: Link): void {
    for (const run of runs) {
      const fresh = this.#table.hold(run);
      if (fresh.length === 0) continue;
      this.#haves.gained(fresh, now, from);
      this.#promises.came(fresh, now);
      this.#wan.verified(now);
    }
    if (this.#table.unlock()) this.#picker.offerAllOf();
  }

  #classOf(peerId: string): PeerClass {
    if (peerId === this.#config.peerId) return this.#config.peerClass;
    for (const link of this.#links.values()) if (link.peerId === peerId) return link.peerClass;
    return "wired";
  }
}
