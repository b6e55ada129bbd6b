import { Bitfield, seededRandom } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import type { Claim, PeerMessage } from "@ckmesh/wire";
import { type FetchId, type LinkId, type SwarmConfig, type SwarmEffect, SwarmMachine } from "../src/index.js";

const LAN_MS = 1;
const LAN_BYTES_PER_MS = 125_000;
const NO_BYTES = new Uint8Array(0);

export interface SiteOptions {
  readonly clients: number;
  /** Bytes of each index piece and each frame. */
  readonly pieces: readonly number[];
  readonly frames: readonly number[];
  /** WAN link, shared evenly by the fetches that run. */
  readonly wanBytesPerMs: number;
  readonly seed?: number;
  readonly swarming?: boolean;
}

interface Fetch {
  readonly node: Node;
  readonly id: FetchId;
  readonly end: number;
  next: number;
  /** Bytes of the row that runs, already paid for by the link. */
  done: number;
}

/** One machine with the driver that a site on virtual time needs. */
export class Node {
  readonly id: number;
  readonly machine: SwarmMachine;
  readonly links = new Map<LinkId, { readonly to: Node; readonly theirs: LinkId }>();
  readonly site: Site;
  completeAt: number | undefined;
  isAlive = true;
  /** Rows by where they came from. */
  readonly rows = { origin: 0, peers: 0 };
  messages = 0;
  #cancelTick: (() => void) | undefined;

  constructor(site: Site, id: number, config: SwarmConfig) {
    this.site = site;
    this.id = id;
    this.machine = new SwarmMachine(config, site.clock.now());
  }

  step(event: Parameters<SwarmMachine["step"]>[0]): void {
    if (!this.isAlive) return;
    for (const effect of this.machine.step(event, this.site.clock.now())) this.site.apply(this, effect);
    this.#cancelTick?.();
    const due = this.machine.deadline();
    if (due !== undefined) {
      this.#cancelTick = this.site.clock.after(Math.max(0, due - this.site.clock.now()), () =>
        this.step({ type: "tick" }),
      );
    }
  }
}

/** A site of machines on virtual time: a shared WAN link, a LAN with latency and rate, no losses. */
export class Site {
  readonly clock = new VirtualClock();
  readonly nodes: Node[] = [];
  readonly #options: SiteOptions;
  readonly #lengths: readonly number[];
  #fetches: Fetch[] = [];
  #nextLink: LinkId = 1;
  wanBytes = 0;
  originIsUp = true;
  readonly uplinkFreeAt = new Map<Node, number>();
  /** Lets a test bend what a node says. */
  intercept: (from: Node, message: PeerMessage) => PeerMessage | undefined = (_, message) => message;

  constructor(options: SiteOptions) {
    this.#options = options;
    this.#lengths = [...options.pieces, ...options.frames];
    for (let i = 0; i < options.clients; i++) this.addNode();
    const pump = (): void => {
      this.#pump(10);
      this.clock.after(10, pump);
    };
    this.clock.after(10, pump);
  }

  get bytes(): number {
    return this.#lengths.reduce((a, b) => a + b, 0);
  }

  addNode(have?: Bitfield): Node {
    const { pieces, frames, swarming } = this.#options;
    const id = this.nodes.length + 1;
    const peerId = id.toString(16).padStart(64, "0");
    const key = Buffer.from(peerId, "hex");
    const node = new Node(this, id, {
      versionId: new Uint8Array(32),
      peerId,
      peerClass: "wired",
      rows: this.#lengths.length,
      sections: pieces.length === 0 ? [] : [{ lengths: Uint32Array.from(pieces), wanted: true }],
      hashesRows: { first: 0, count: pieces.length === 0 ? 0 : 1 },
      have: have ?? new Bitfield(this.#lengths.length),
      swarming: swarming ?? true,
      allowLoopback: false,
      peerPort: 7650,
      random: seededRandom((this.#options.seed ?? 1) * 1000 + id),
      epoch: 1,
      sign: (claim) => ({ ...claim, key, signature: NO_BYTES }) satisfies Claim,
      verify: (claim) => Buffer.from(claim.key).toString("hex") === claim.claimer,
    });
    this.nodes.push(node);
    node.step({ type: "networks", own: ["10.0.0.0/24"], site: [] });
    if (pieces.length === 0 || have?.isFull === true)
      node.step({ type: "frames", lengths: Uint32Array.from(frames) });
    return node;
  }

  /** What a tracker does: tells everybody who is there. */
  introduce(): void {
    const alive = this.nodes.filter((n) => n.isAlive);
    for (const node of alive) {
      const peers = alive.filter((n) => n !== node).map((n) => ({ address: `10.0.0.${n.id}`, port: 7650 }));
      node.step({ type: "candidates", source: "tracker", peers, complete: true });
    }
  }

  kill(node: Node): void {
    node.isAlive = false;
    this.#fetches = this.#fetches.filter((f) => f.node !== node);
    for (const [, { to, theirs }] of node.links) {
      to.links.delete(theirs);
      this.clock.after(LAN_MS, () => to.step({ type: "peer-down", link: theirs }));
    }
  }

  /** Runs until every live node is complete; false when `ms` pass first. */
  run(ms: number): boolean {
    const end = this.clock.now() + ms;
    while (this.clock.now() < end) {
      this.clock.advance(10);
      if (this.nodes.every((n) => !n.isAlive || n.completeAt !== undefined)) return true;
    }
    return false;
  }

  apply(node: Node, effect: SwarmEffect): void {
    switch (effect.type) {
      case "dial":
        this.#dial(node, effect.peer.address, effect.peer.port);
        return;
      case "close": {
        const link = node.links.get(effect.link);
        node.links.delete(effect.link);
        if (link === undefined) return;
        link.to.links.delete(link.theirs);
        this.clock.after(LAN_MS, () => link.to.step({ type: "peer-down", link: link.theirs }));
        return;
      }
      case "send":
        this.#send(node, effect.link, effect.message, 0);
        return;
      case "upload":
        this.#send(node, effect.link, { type: "piece", row: effect.row, bytes: NO_BYTES }, effect.length);
        return;
      case "fetch":
        this.#fetches.push({
          node,
          id: effect.fetch,
          next: effect.rows.first,
          end: effect.rows.first + effect.rows.count,
          done: 0,
        });
        return;
      case "abort-fetch":
        this.#fetches = this.#fetches.filter((f) => f.node !== node || f.id !== effect.fetch);
        return;
      case "complete":
        node.completeAt ??= this.clock.now();
    }
  }

  #dial(from: Node, address: string, port: number): void {
    const to = this.nodes.find((n) => address === `10.0.0.${n.id}`);
    this.clock.after(2 * LAN_MS, () => {
      if (to === undefined || !to.isAlive) {
        from.step({ type: "dial-failed", peer: { address, port }, reason: "unreachable" });
        return;
      }
      const [mine, theirs] = [this.#nextLink, this.#nextLink + 1];
      this.#nextLink += 2;
      from.links.set(mine, { to, theirs });
      to.links.set(theirs, { to: from, theirs: mine });
      this.#up(from, mine, to, false);
      this.#up(to, theirs, from, true);
    });
  }

  #up(node: Node, link: LinkId, other: Node, inbound: boolean): void {
    const peerId = other.id.toString(16).padStart(64, "0");
    node.step({
      type: "peer-up",
      link,
      peerId,
      address: `10.0.0.${other.id}`,
      port: 7650,
      inbound,
      peerClass: "wired",
      rttMs: 2 * LAN_MS,
    });
  }

  #send(from: Node, link: LinkId, said: PeerMessage, length: number): void {
    const end = from.links.get(link);
    const message = this.intercept(from, said);
    if (end === undefined || message === undefined) return;
    from.messages += 1;
    const start =
      length === 0 ? this.clock.now() : Math.max(this.clock.now(), this.uplinkFreeAt.get(from) ?? 0);
    const sentAt = start + length / LAN_BYTES_PER_MS;
    if (length > 0) this.uplinkFreeAt.set(from, sentAt);
    this.clock.after(sentAt - this.clock.now() + LAN_MS, () => {
      if (message.type !== "piece") {
        if (end.to.links.has(end.theirs)) end.to.step({ type: "message", link: end.theirs, message });
        return;
      }
      from.step({ type: "uploaded", link, row: message.row, length, ok: true });
      if (!end.to.links.has(end.theirs)) return;
      const run = { first: message.row, count: this.#rowsIn(message.row, length) };
      const isBad = message.bytes.length > 0;
      if (!isBad) end.to.rows.peers += run.count;
      end.to.step({
        type: "piece",
        link: end.theirs,
        row: message.row,
        good: isBad ? [] : [run],
        bad: isBad ? [run] : [],
      });
      if (!isBad) this.#learn(end.to);
    });
  }

  #rowsIn(row: number, length: number): number {
    let [count, left] = [0, length];
    while (left > 0) {
      left -= this.#lengths[row + count] ?? left;
      count += 1;
    }
    return count;
  }

  /** All index pieces held: the frame table is known. */
  #learn(node: Node): void {
    const { pieces, frames } = this.#options;
    if (node.machine.status().held >= pieces.length)
      node.step({ type: "frames", lengths: Uint32Array.from(frames) });
  }

  #pump(ms: number): void {
    if (!this.originIsUp || this.#fetches.length === 0) return;
    const share = (this.#options.wanBytesPerMs * ms) / this.#fetches.length;
    for (const fetch of this.#fetches.slice()) {
      fetch.done += share;
      this.wanBytes += share;
      while (fetch.next < fetch.end && fetch.done >= (this.#lengths[fetch.next] ?? 0)) {
        fetch.done -= this.#lengths[fetch.next] ?? 0;
        const run = { first: fetch.next, count: 1 };
        fetch.next += 1;
        fetch.node.rows.origin += 1;
        fetch.node.step({ type: "stored", runs: [run], source: "origin", fetch: fetch.id });
        this.#learn(fetch.node);
      }
      if (fetch.next < fetch.end || !this.#fetches.includes(fetch)) continue;
      this.wanBytes -= fetch.done;
      this.#fetches = this.#fetches.filter((f) => f !== fetch);
      fetch.node.step({ type: "fetch-ended", fetch: fetch.id, result: "done" });
    }
  }
}
