import type { Random } from "@ckmesh/core";
import type { PeerAddress, PeerIdPrefix } from "@ckmesh/wire";
import { BAN_ADDRESS_MS, BAN_KEY_MS, LEAVE_MS, MAX_LINKS, SHUT_OUT_MS } from "../constants.js";
import type { CloseReason, LinkId, SwarmEffect, SwarmEvent } from "../swarm-messages.js";
import { Bans } from "./bans.js";
import { Dialer } from "./dialer.js";
import { Link } from "./link.js";
import { type AdmissionView, admission } from "./link-admission.js";
import { Neighbourhood } from "./neighbourhood.js";
import { Overlay } from "./overlay.js";
import { PeerExchange } from "./peer-exchange.js";

export interface MembershipContext {
  readonly peerId: string;
  readonly swarming: boolean;
  readonly allowLoopback: boolean;
  readonly peerPort: number;
  readonly random: Random;
  /** Rows of the version. */
  readonly rows: number;
  readonly emit: (effect: SwarmEffect) => void;
  /** True while rows move over the link, or are about to. */
  readonly isBusy: (link: Link, now: number) => boolean;
  /** A link has gone: nothing is expected of it any more. */
  readonly gone: (link: Link, now: number) => void;
}

/** With whom this client is linked: whom it dials, lets in, keeps, tells of others, and shuts out (rules 2, 3, 15). */
export class Membership {
  readonly links = new Map<LinkId, Link>();
  readonly bans = new Bans();
  readonly dialer: Dialer;
  readonly #context: MembershipContext;
  readonly #exchange: PeerExchange;
  readonly #neighbourhood: Neighbourhood;
  readonly #overlay: Overlay;
  readonly #admission: AdmissionView;
  readonly #leaving = new Set<Link>();

  constructor(context: MembershipContext, now: number) {
    const { links, bans } = this;
    this.#context = context;
    this.dialer = new Dialer(context, context.random);
    this.#exchange = new PeerExchange(links, context.emit);
    this.#neighbourhood = new Neighbourhood(context.peerId, links, context.emit);
    this.#overlay = new Overlay({ ...context, links }, now);
    const isOwnSubnet = (address: string): boolean => this.dialer.policy.isOwnSubnet(address);
    this.#admission = { ...context, links, bans, isOwnSubnet, overlay: this.#overlay };
  }

  /** Addresses of connected peers that take connections. */
  addresses(): PeerAddress[] {
    return this.#exchange.peers();
  }

  /** A link came up; undefined if it is not kept. */
  up(event: Extract<SwarmEvent, { type: "peer-up" }>, now: number): Link | undefined {
    const link = new Link(event, this.#context.rows, now);
    const { refusal, replaced, spared } = admission(link, this.#admission, now);
    if (refusal !== undefined) {
      this.#context.emit({ type: "close", link: link.id, reason: refusal });
      if (refusal === "self") this.dialer.forget(link);
      else if (refusal !== "duplicate") this.dialer.failed(link, now);
      return undefined;
    }
    if (replaced !== undefined) this.close(replaced, "duplicate", now);
    if (spared !== undefined) this.#leave(spared, now);
    this.links.set(link.id, link);
    this.#neighbourhood.changed(now);
    this.dialer.connected(link, now);
    this.#exchange.greet();
    return link;
  }

  down(id: LinkId, now: number): void {
    const link = this.links.get(id);
    if (link === undefined) return;
    this.links.delete(id);
    this.#leaving.delete(link);
    this.#neighbourhood.changed(now);
    this.#exchange.changed();
    this.dialer.disconnected(link, now, now - link.upAt);
    this.#context.gone(link, now);
  }

  /** A peer says whom it is linked with. */
  heardNeighbours(link: Link, ids: readonly PeerIdPrefix[], now: number): void {
    this.#neighbourhood.heard(link, ids, now);
    this.#exchange.changed();
  }

  close(link: Link, reason: CloseReason, now: number): void {
    this.#context.emit({ type: "close", link: link.id, reason });
    this.down(link.id, now);
  }

  /** It costs more than it brings: gone for a while. */
  shutOut(link: Link, now: number): void {
    this.bans.add(link.peerId, SHUT_OUT_MS, now);
    this.close(link, "misbehaved", now);
  }

  /** It sent rows that were wrong, more than once. */
  ban(link: Link, now: number): void {
    this.bans.add(link.peerId, BAN_KEY_MS, now);
    this.bans.add(link.address, BAN_ADDRESS_MS, now);
    this.close(link, "banned", now);
  }

  /** Dials, and tells peers of others. Returns when to look again. */
  run(now: number): number {
    const left = this.#endLeaving(now);
    return Math.min(left, this.#dial(now), this.#exchange.run(now), this.#neighbourhood.run(now));
  }

  /** The link goes as soon as everybody knows: those who relied on it for claims relay them before. */
  #leave(link: Link, now: number): void {
    link.leavesAt = now + LEAVE_MS;
    this.#leaving.add(link);
    this.#neighbourhood.changed(now);
  }

  #endLeaving(now: number): number {
    let due = Number.POSITIVE_INFINITY;
    for (const link of this.#leaving) {
      due = Math.min(due, Math.max(link.leavesAt ?? now, now));
      if ((link.leavesAt ?? now) > now) continue;
      this.#leaving.delete(link);
      if (this.#context.isBusy(link, now)) {
        // Rows have begun to move over it: it stays after all.
        link.leavesAt = undefined;
        this.#neighbourhood.changed(now);
      } else this.close(link, "too-many", now);
    }
    return due;
  }

  #dial(now: number): number {
    if (!this.#context.swarming) return Number.POSITIVE_INFINITY;
    const isFull = this.links.size - this.#leaving.size >= MAX_LINKS;
    return isFull ? this.#reshape(now) : this.#fill(now);
  }

  #fill(now: number): number {
    const { dialer } = this;
    const wanted = MAX_LINKS - this.links.size + this.#leaving.size;
    const near = (): PeerAddress[] => this.#overlay.nearer(dialer.hinted(now));
    for (const peer of dialer.due(now, wanted, near)) this.#context.emit({ type: "dial", peer });
    return dialer.deadline(now, wanted);
  }

  /** A full machine looks for nearer peers, and now and then for other random ones. */
  #reshape(now: number): number {
    if (now < this.#overlay.deadline()) return this.#overlay.deadline();
    if (this.#overlay.takeNearDial(now)) {
      const near = this.#overlay.nearer(this.dialer.hinted(now)).slice(0, 1);
      if (near.length > 0)
        for (const peer of this.dialer.due(now, 1, () => near)) this.#context.emit({ type: "dial", peer });
    }
    const stale = this.#overlay.stale(now);
    if (stale !== undefined && this.dialer.hasOther(now)) this.#leave(stale, now);
    return this.#overlay.deadline();
  }
}
