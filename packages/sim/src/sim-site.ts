import { type Random, type Run, seededRandom } from "@ckmesh/core";
import type { FetchId, LinkId, SwarmEffect } from "@ckmesh/swarm";
import { VirtualClock } from "@ckmesh/testkit";
import type { PeerMessage } from "@ckmesh/wire";
import type { EventLog } from "./event-log.js";
import { messageBytes } from "./message-size.js";
import type { SimImage } from "./sim-image.js";
import { type NodeOptions, SimNode } from "./sim-node.js";
import type { SimOrigin } from "./sim-origin.js";
import { addressOf, SimTracker } from "./sim-tracker.js";
import { type WanFlow, WanLink } from "./wan-link.js";

export interface SiteOptions {
  readonly image: SimImage;
  readonly seed: number;
  /** Bits per second. */
  readonly wan: number;
  readonly lan?: number;
  /** One way, ms; each message takes up to `lanJitterMs` longer, none overtakes another on its link. */
  readonly lanMs?: number;
  readonly lanJitterMs?: number;
  /** Time to the first byte of a range, ms. */
  readonly wanMs?: number;
  /** What a full queue in front of the WAN link takes, ms; default 0: no queue. */
  readonly wanQueueMs?: number;
  readonly hasTracker?: boolean;
  /** LAN announcements reach everybody. */
  readonly hasMulticast?: boolean;
  /** Shared with other sites, or with another swarm of this one; by default a clock of its own and an origin without limit. */
  readonly clock?: VirtualClock;
  readonly origin?: SimOrigin;
  readonly log?: EventLog;
}

const BAD = new Uint8Array(1);
const GOOD = new Uint8Array(0);
/** Marks a piece whose bytes are wrong, for `NodeOptions.bend`. */
export const BAD_PIECE = BAD;

/** A site on virtual time: a shared WAN link, a switched LAN, a tracker, an origin. Faults are its methods. */
export class SimSite {
  readonly clock: VirtualClock;
  readonly nodes: SimNode[] = [];
  readonly wan: WanLink;
  readonly #options: SiteOptions;
  /** Undefined: asked for, the first byte is still on its way. */
  readonly #fetches = new Map<SimNode, Map<FetchId, WanFlow | undefined>>();
  readonly #byAddress = new Map<string, SimNode>();
  readonly #random: Random;
  readonly #tracker: SimTracker;
  #nextLink: LinkId = 1;
  #isOriginUp = true;
  /** True if two nodes can reach each other. */
  reaches: (a: SimNode, b: SimNode) => boolean = () => true;
  /** Live nodes that are not complete. */
  unfinished = 0;
  /** Requests that the origin answered with 429. */
  refusals = 0;
  /** Retry-After of the origin's 429, ms, for a site that has as many transfers as it may. */
  originLimit: { readonly transfers: number; readonly retryMs: number } | undefined;

  constructor(options: SiteOptions) {
    this.#options = options;
    this.clock = options.clock ?? new VirtualClock();
    this.#random = seededRandom(options.seed * 7 + 3);
    const trackerMs = 2 * (options.wanMs ?? 5);
    this.#tracker = new SimTracker(this.clock, this.#random, trackerMs, options.hasTracker ?? true);
    this.wan = new WanLink(this.clock, options.wan / 8000, options.origin, options.wanQueueMs);
  }

  get trackerRequests(): number {
    return this.#tracker.requests;
  }

  get log(): EventLog | undefined {
    return this.#options.log;
  }

  get image(): SimImage {
    return this.#options.image;
  }

  /** A machine starts now. */
  start(options: NodeOptions = {}): SimNode {
    const node = new SimNode(this, this.nodes.length, this.image, this.#options.seed, options);
    // It has just fetched the head.
    options.wan?.sawDelay(this.#firstByteMs(), this.clock.now());
    return this.#begin(node);
  }

  /**
   * A machine that was killed starts again: same identity and address, with the rows it held.
   * @param options what differs from before, such as a wall clock that was set back
   */
  restart(old: SimNode, options: NodeOptions = {}): SimNode {
    this.kill(old);
    const again = { ...old.options, have: old.rowsHeld(), ...options };
    return this.#begin(new SimNode(this, old.index, old.image, this.#options.seed, again));
  }

  #begin(node: SimNode): SimNode {
    this.nodes.push(node);
    this.#byAddress.set(node.address, node);
    this.unfinished += 1;
    node.begin();
    this.announce(node);
    return node;
  }

  /** The machine tells tracker and LAN that it is there (again). */
  announce(node: SimNode): void {
    this.#tracker.announce(node);
    if (this.#options.hasMulticast !== true) return;
    for (const other of this.nodes) {
      if (other === node || other.version !== node.version || !this.reaches(other, node)) continue;
      this.clock.after(this.#lanMs(), () => {
        other.step({ type: "candidates", source: "lan", peers: [addressOf(node)] });
        node.step({ type: "candidates", source: "lan", peers: [addressOf(other)] });
      });
    }
  }

  kill(node: SimNode): void {
    if (!node.isAlive) return;
    if (node.completeAt === undefined) this.unfinished -= 1;
    node.stop();
    this.#tracker.leave(node);
    for (const flow of this.#fetches.get(node)?.values() ?? []) if (flow !== undefined) this.wan.remove(flow);
    this.#fetches.delete(node);
    for (const link of node.links.keys()) this.#cut(node, link);
  }

  setTracker(isUp: boolean): void {
    this.#tracker.isUp = isUp;
  }

  /** Origin gone: fetches fail at once and new ones are refused. */
  setOrigin(isUp: boolean): void {
    this.#isOriginUp = isUp;
    if (isUp) return;
    for (const [node, fetches] of this.#fetches)
      for (const id of fetches.keys()) this.#endFetch(node, id, "failed");
  }

  /** The WAN carries nothing, or `bits` per second again; connections hang. */
  setWan(bits: number): void {
    this.wan.setRate(bits / 8000);
  }

  /** Changes who reaches whom; links between those who no longer do are cut. */
  partition(reaches: (a: SimNode, b: SimNode) => boolean): void {
    this.reaches = reaches;
    for (const node of this.nodes) {
      for (const [link, { to }] of node.links) if (!reaches(node, to)) this.#cut(node, link);
    }
  }

  /** Runs until every live node is complete; false when `ms` pass first. */
  run(ms: number, stepMs = 10): boolean {
    const end = this.clock.now() + ms;
    while (this.clock.now() < end) {
      this.clock.advance(stepMs);
      if (this.unfinished === 0) return true;
    }
    return false;
  }

  apply(node: SimNode, effect: SwarmEffect): void {
    switch (effect.type) {
      case "dial":
        this.#dial(node, effect.peer.address, effect.peer.port);
        return;
      case "close":
        this.#cut(node, effect.link);
        return;
      case "send":
        this.#send(node, effect.link, effect.message);
        return;
      case "upload":
        this.#upload(node, effect.link, effect.row, effect.length);
        return;
      case "asked":
        return;
      case "heard-newer":
        node.options.onNewer?.(effect.version, effect.peerId);
        return;
      case "fetch":
        this.#request(node, effect.fetch, effect.rows);
        return;
      case "abort-fetch":
        this.#endFetch(node, effect.fetch, "aborted");
        return;
      case "complete":
        if (node.completeAt === undefined) this.unfinished -= 1;
        node.completeAt ??= this.clock.now();
    }
  }

  #lanMs(): number {
    const jitterMs = this.#options.lanJitterMs ?? 0;
    return (this.#options.lanMs ?? 0.3) + (jitterMs > 0 ? this.#random.next() * jitterMs : 0);
  }

  #dial(from: SimNode, address: string, port: number): void {
    const to = this.#byAddress.get(address);
    this.clock.after(4 * this.#lanMs(), () => {
      if (!from.isAlive) return;
      if (to === undefined || !to.isAlive || to.version !== from.version || !this.reaches(from, to)) {
        from.step({ type: "dial-failed", peer: { address, port }, reason: "unreachable" });
        return;
      }
      const [mine, theirs] = [this.#nextLink, this.#nextLink + 1];
      this.#nextLink += 2;
      from.links.set(mine, { to, theirs, arrivesAt: 0 });
      to.links.set(theirs, { to: from, theirs: mine, arrivesAt: 0 });
      this.#up(from, mine, to, false);
      if (to.links.has(theirs)) this.#up(to, theirs, from, true);
    });
  }

  #up(node: SimNode, link: LinkId, other: SimNode, inbound: boolean): void {
    const { peerId, address, options } = other;
    const peerClass = options.peerClass ?? "wired";
    node.step({
      type: "peer-up",
      link,
      peerId,
      address,
      port: 7650,
      inbound,
      peerClass,
      rttMs: 2 * this.#lanMs(),
    });
  }

  #cut(node: SimNode, id: LinkId): void {
    const link = node.links.get(id);
    if (link === undefined) return;
    node.links.delete(id);
    link.to.links.delete(link.theirs);
    this.clock.after(this.#lanMs(), () => {
      node.step({ type: "peer-down", link: id });
      link.to.step({ type: "peer-down", link: link.theirs });
    });
  }

  #send(from: SimNode, id: LinkId, said: PeerMessage): void {
    const message = from.options.bend === undefined ? said : from.options.bend(said);
    if (message !== undefined) this.say(from, id, message);
  }

  /** Sends a message on a link as it is; an insider may say anything, also what its decisions would not. */
  say(from: SimNode, id: LinkId, message: PeerMessage): void {
    const link = from.links.get(id);
    if (link === undefined || message.type === "piece") return;
    from.messages += 1;
    from.controlBytes += messageBytes(message);
    // TCP: what was sent later does not arrive earlier.
    link.arrivesAt = Math.max(link.arrivesAt, this.clock.now() + this.#lanMs());
    this.clock.after(link.arrivesAt - this.clock.now(), () => {
      if (link.to.links.has(link.theirs)) link.to.step({ type: "message", link: link.theirs, message });
    });
  }

  #upload(from: SimNode, id: LinkId, row: number, length: number): void {
    const link = from.links.get(id);
    const piece: PeerMessage = { type: "piece", row, bytes: GOOD };
    const said = from.options.bend === undefined ? piece : from.options.bend(piece);
    if (link === undefined || said === undefined) return;
    const isBad = said.type === "piece" && said.bytes === BAD;
    const [up, down] = [this.#portRate(from), this.#portRate(link.to)];
    const now = this.clock.now();
    from.upFreeAt = Math.max(now, from.upFreeAt) + length / up;
    // Only now is it known when the piece reaches the other port: a port kept for it from the start would stand
    // idle for as long as the sender's queue lasts, whatever others could send meanwhile.
    this.clock.after(from.upFreeAt - now, () => {
      from.step({ type: "uploaded", link: id, row, length, ok: true });
      const sent = this.clock.now();
      // Its first byte came when it began to be sent, as switches do not wait for the last.
      link.to.downFreeAt = Math.max(sent, Math.max(sent - length / up, link.to.downFreeAt) + length / down);
      this.clock.after(link.to.downFreeAt - sent + this.#lanMs(), () => {
        if (!link.to.links.has(link.theirs)) return;
        const run = { first: row, count: this.#rowsIn(from, row, length) };
        link.to.rows[isBad ? "bad" : "peers"] += run.count;
        link.to.step({
          type: "piece",
          link: link.theirs,
          row,
          good: isBad ? [] : [run],
          bad: isBad ? [run] : [],
        });
        link.to.learn();
      });
    });
  }

  /** Bytes per ms of the machine's LAN port. */
  #portRate({ options }: SimNode): number {
    const lan = (this.#options.lan ?? 1e9) / 8000;
    return Math.min(lan, options.lanRate ?? lan);
  }

  #rowsIn({ image: { lengths } }: SimNode, row: number, length: number): number {
    let [count, left] = [0, length];
    while (left > 0) {
      left -= lengths[row + count] ?? left;
      count += 1;
    }
    return count;
  }

  #firstByteMs(): number {
    const ms = this.#options.wanMs ?? 5;
    return ms + this.wan.delayIn(ms);
  }

  #request(node: SimNode, id: FetchId, rows: Run): void {
    const mine = this.#fetches.get(node) ?? new Map<FetchId, WanFlow | undefined>();
    mine.set(id, undefined);
    this.#fetches.set(node, mine);
    const ms = this.#firstByteMs();
    this.clock.after(ms, () => {
      if (!node.isAlive || !mine.has(id)) return;
      if (this.#isOriginUp) node.step({ type: "first-byte", fetch: id, ms });
      if (mine.has(id)) this.#fetch(node, mine, id, rows);
    });
  }

  #fetch(node: SimNode, mine: Map<FetchId, WanFlow | undefined>, id: FetchId, { first, count }: Run): void {
    if (!this.#isOriginUp) {
      mine.delete(id);
      node.step({ type: "fetch-ended", fetch: id, result: "failed" });
      return;
    }
    const limit = this.originLimit;
    const running = [...this.#fetches.values()].reduce(
      (sum, f) => sum + [...f.values()].filter(Boolean).length,
      0,
    );
    if (limit !== undefined && running >= limit.transfers) {
      this.refusals += 1;
      mine.delete(id);
      node.step({ type: "fetch-ended", fetch: id, result: "failed", retryMs: limit.retryMs });
      return;
    }
    let row = first;
    const flow: WanFlow = {
      cap: node.options.wanCap ?? Number.POSITIVE_INFINITY,
      nextBytes: () => node.image.lengths[row] ?? 1,
      leftBytes: () => node.image.lengths.subarray(row, first + count).reduce((a, b) => a + b, 0),
      arrived: () => {
        const run = { first: row, count: 1 };
        row += 1;
        node.rows.origin += 1;
        node.step({ type: "stored", runs: [run], source: "origin", fetch: id });
        node.learn();
        if (row < first + count) return mine.has(id);
        if (mine.delete(id)) node.step({ type: "fetch-ended", fetch: id, result: "done" });
        return false;
      },
    };
    mine.set(id, flow);
    this.wan.add(flow);
  }

  #endFetch(node: SimNode, id: FetchId, result: "failed" | "aborted"): void {
    const mine = this.#fetches.get(node);
    const flow = mine?.get(id);
    if (mine?.delete(id) !== true) return;
    if (flow !== undefined) this.wan.remove(flow);
    if (result === "failed") this.clock.after(1, () => node.step({ type: "fetch-ended", fetch: id, result }));
  }
}
