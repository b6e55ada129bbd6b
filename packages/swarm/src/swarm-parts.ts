import { toHex } from "@ckmesh/core";
import type { PeerClass } from "@ckmesh/wire";
import { ClaimGossip } from "./claims/claim-gossip.js";
import { WanClaims } from "./claims/wan-claims.js";
import { CLAIM_ECHO_MS } from "./constants.js";
import type { Link } from "./links/link.js";
import { Membership } from "./links/membership.js";
import { NewerWord } from "./links/newer-word.js";
import { CLASS_WEIGHT, spanScore } from "./rank.js";
import { HaveGossip } from "./rows/have-gossip.js";
import { OtherSources } from "./rows/other-sources.js";
import { PromiseGossip } from "./rows/promise-gossip.js";
import { RequestPicker } from "./rows/request-picker.js";
import { RowTable } from "./rows/row-table.js";
import { UploadSlots } from "./rows/upload-slots.js";
import { Settling } from "./settling.js";
import type { SwarmConfig } from "./swarm-config.js";
import type { SwarmEffect } from "./swarm-messages.js";
import { WanLane } from "./wan/wan-lane.js";
import { WanPacer } from "./wan/wan-pacer.js";

/** The parts of which a swarm's decisions are made, and what each asks of the others. */
export class SwarmParts {
  readonly #config: SwarmConfig;
  readonly table: RowTable;
  readonly members: Membership;
  readonly picker: RequestPicker;
  readonly slots: UploadSlots;
  readonly gossip: ClaimGossip;
  readonly haves: HaveGossip;
  readonly wan: WanClaims;
  readonly promises: PromiseGossip;
  readonly others: OtherSources;
  readonly lane: WanLane;
  readonly settling: Settling;
  readonly newer: NewerWord;

  constructor(config: SwarmConfig, emit: (effect: SwarmEffect) => void, now: number) {
    this.#config = config;
    this.table = new RowTable(config.rows, config.sections, config.have, config.hashesRows, config.spanBytes);
    const score = (span: number, peerId: string): number =>
      spanScore(config.versionId, span, peerId, CLASS_WEIGHT[this.#classOf(peerId)]);
    this.members = new Membership(
      {
        ...config,
        emit,
        isBusy: (link, at) => this.#isBusy(link, at),
        gone: (link) => this.#gone(link),
      },
      now,
    );
    const { links, dialer } = this.members;
    this.newer = new NewerWord(links, emit);
    this.settling = new Settling(
      {
        links: () => links.values(),
        gossipMs: () => this.gossip.delayMs,
        hasAnswered: (peer) => dialer.hasAnswered(peer),
      },
      !config.swarming,
      now,
    );
    this.picker = new RequestPicker(this.table, links, config.random, emit, config.tellsAsked === true);
    this.slots = new UploadSlots(links, (row, length) => this.table.holds(row, length), emit);
    this.haves = new HaveGossip(this.table, links, emit);
    const shared = { ...config, links, table: this.table, emit };
    this.gossip = new ClaimGossip({ ...shared, score });
    const isOffered = (row: number): boolean => this.picker.isOffered(row);
    this.promises = new PromiseGossip({ ...shared, isOffered });
    this.others = new OtherSources(this.table, this.picker, this.promises);
    this.lane = new WanLane(config.wan ?? new WanPacer({ type: "none" }), {
      id: toHex(config.versionId),
      claims: () => this.gossip.claims.active(),
      ownRate: () => this.wan.announcedRate,
      isClaiming: () => this.wan.isClaiming,
    });
    this.wan = new WanClaims(
      {
        ...shared,
        claims: this.gossip.claims,
        lane: this.lane,
        score,
        isOffered,
        isPromised: (row) => this.promises.isPromised(row) || config.comesBeside?.(row) === true,
        isLeftOut: (row) => this.promises.isLeftOut(row),
        hasLinks: () => links.size > 0,
        siteSize: () => 1 + Math.max(links.size, dialer.size),
        gossipMs: () => this.gossip.delayMs,
        distrust: (at) => this.gossip.distrust(at),
        pausedUntil: () => this.gossip.pausedUntil(),
        announce: (claim) => this.gossip.announce(claim),
        freed: (run) => this.picker.freed(run),
      },
      config.epoch,
      now,
    );
  }

  /** The link has ended: nothing is expected of it, nor of its peer if it was the last one. */
  #gone(link: Link): void {
    this.picker.gone(link);
    this.slots.gone(link);
    if ([...this.members.links.values()].some((l) => l.peerId === link.peerId)) return;
    this.gossip.gone(link.peerId);
    this.promises.gone(link.peerId);
  }

  /**
   * Rows move over the link, or one end brings some from the WAN, or did a moment ago: who is not linked with it any
   * more neither sees them on offer nor believes the claim.
   */
  #isBusy(link: Link, now: number): boolean {
    const isMoving = link.asked.size > 0 || link.uploading > 0 || link.waiting.length > 0;
    return isMoving || now - Math.max(link.claimedAt, this.wan.saidAt) < CLAIM_ECHO_MS;
  }

  #classOf(peerId: string): PeerClass {
    if (peerId === this.#config.peerId) return this.#config.peerClass;
    for (const link of this.members.links.values()) if (link.peerId === peerId) return link.peerClass;
    return "wired";
  }
}
