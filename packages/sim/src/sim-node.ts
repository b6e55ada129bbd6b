import { Bitfield, type Run, seededRandom, sha256, toHex } from "@ckmesh/core";
import { type LinkId, type SwarmEvent, SwarmMachine, WakeTimer, type WanPacer } from "@ckmesh/swarm";
import type { Claim, PeerClass, PeerMessage } from "@ckmesh/wire";
import type { SimImage } from "./sim-image.js";
import type { SimSite } from "./sim-site.js";

export interface NodeOptions {
  readonly peerClass?: PeerClass;
  /** Hex of 32 bytes; by default drawn from its number. For whoever makes keys until the id suits him. */
  readonly peerId?: string;
  /** Rows held at the start. */
  readonly have?: Bitfield;
  /** Own limits, bytes per ms. */
  readonly wanCap?: number;
  readonly lanRate?: number;
  /** Another version than the site's first, with its own swarm on the same links. */
  readonly image?: SimImage;
  readonly version?: number;
  /** How far its wall clock is off, ms: where a run starts to number its claims. */
  readonly wallSkewMs?: number;
  /** Rows that its disk takes; then it leaves the swarm, as a client without room does. */
  readonly diskRows?: number;
  /** The WAN budget; default: no limit. */
  readonly wan?: WanPacer;
  /** Bends what the node says: a liar, a miser. Undefined drops the message. */
  readonly bend?: (message: PeerMessage) => PeerMessage | undefined;
  /** What its driver says with the frame table: rows from local data, rows wanted. */
  readonly frames?: { readonly local?: Bitfield; readonly wanted?: Bitfield };
  /** False: what it is to do with the frame table is not known yet; `learn` is called again when it is. */
  readonly mayLearn?: () => boolean;
  /** A source beside this swarm has the row now. */
  readonly comesBeside?: (row: number) => boolean;
  /** It has just learnt the frame table. */
  readonly onFrames?: (node: SimNode) => void;
  /** A peer says that there is a newer version. */
  readonly onNewer?: (version: number, peerId: string) => void;
  /** Rows that came, from wherever. */
  readonly onHeld?: (runs: readonly Run[]) => void;
}

/** A connection as one side sees it. */
export interface SimLink {
  readonly to: SimNode;
  /** Its number at the other side. */
  readonly theirs: LinkId;
  /** When the last message that was sent arrives there. */
  arrivesAt: number;
}

/** Where the rows of a node came from. */
export interface RowCounts {
  origin: number;
  peers: number;
  bad: number;
}

/** One machine: the production decisions, with a driver that lives on virtual time. */
export class SimNode {
  readonly index: number;
  readonly peerId: string;
  readonly address: string;
  readonly options: NodeOptions;
  readonly version: number;
  readonly image: SimImage;
  readonly links = new Map<LinkId, SimLink>();
  readonly rows: RowCounts = { origin: 0, peers: 0, bad: 0 };
  readonly startedAt: number;
  completeAt: number | undefined;
  isAlive = true;
  controlBytes = 0;
  messages = 0;
  upFreeAt = 0;
  downFreeAt = 0;
  readonly #site: SimSite;
  readonly #machine: SwarmMachine;
  readonly #have: Bitfield;
  #knowsFrames = false;
  readonly #wake: WakeTimer;

  constructor(site: SimSite, index: number, image: SimImage, seed: number, options: NodeOptions) {
    this.#site = site;
    this.#wake = new WakeTimer(site.clock, () => this.step({ type: "tick" }));
    this.image = options.image ?? image;
    this.index = index;
    this.options = options;
    this.version = options.version ?? 1;
    const { lengths, pieces } = this.image;
    this.#have = options.have ?? new Bitfield(lengths.length);
    this.startedAt = site.clock.now();
    this.peerId = options.peerId ?? toHex(sha256(Buffer.from(`machine ${index}`)));
    this.address = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${(index & 255) + 1}`;
    const key = Buffer.from(this.peerId, "hex");
    this.#machine = new SwarmMachine(
      {
        versionId: new Uint8Array(32).fill((seed + 31 * this.version) & 255),
        peerId: this.peerId,
        peerClass: options.peerClass ?? "wired",
        rows: lengths.length,
        sections: [
          { lengths: lengths.slice(0, 1), wanted: true },
          { lengths: lengths.slice(1, pieces), wanted: true },
        ],
        hashesRows: { first: 0, count: 1 },
        ...(this.image.spanBytes !== undefined && { spanBytes: this.image.spanBytes }),
        have: this.#have,
        swarming: true,
        allowLoopback: false,
        peerPort: 7650,
        random: seededRandom(seed * 100_003 + index),
        epoch: Math.max(1, Math.floor((site.clock.wall() + (options.wallSkewMs ?? 0)) / 1000)),
        ...(options.wan !== undefined && { wan: options.wan }),
        ...(options.comesBeside !== undefined && { comesBeside: options.comesBeside }),
        // A stand-in for Ed25519: the key is the peer id, and relays cannot claim to be somebody else.
        sign: (claim) => ({ ...claim, key, signature: key }) satisfies Claim,
        verify: (claim) =>
          Buffer.compare(claim.key, claim.signature) === 0 &&
          Buffer.from(claim.key).toString("hex") === claim.claimer,
        signPromise: (promise) => ({ ...promise, key, signature: key }),
        verifyPromise: ({ key: theirs, signature, promiser }) =>
          Buffer.compare(theirs, signature) === 0 && Buffer.from(theirs).toString("hex") === promiser,
      },
      site.clock.now(),
    );
  }

  /** Its first events: networks, and frames when the index is held. */
  begin(): void {
    this.step({ type: "networks", own: ["10.0.0.0/8"], site: [] });
    this.learn();
  }

  get held(): number {
    return this.#machine.status().held;
  }

  /** It has looked for peers long enough. */
  get isSettled(): boolean {
    return this.#machine.status().isSettled;
  }

  get moving(): number {
    return this.#machine.status().moving;
  }

  /** True if another machine fetches frames over the WAN, as it says. */
  get isFetchedElsewhere(): boolean {
    return this.#machine.isFetchedElsewhere;
  }

  /** Connected peers that offer every row. */
  get holders(): number {
    return this.#machine.holders;
  }

  /** As `SwarmMachine.expected`. */
  expected(rows: Bitfield): ReturnType<SwarmMachine["expected"]> {
    return this.#machine.expected(rows);
  }

  /** True if a connected peer offers the row. */
  isOffered(row: number): boolean {
    return this.#machine.isOffered(row);
  }

  step(event: SwarmEvent): void {
    if (!this.isAlive) return;
    const { clock, log } = this.#site;
    log?.note(clock.now(), this.index, event);
    for (const effect of this.#machine.step(event, clock.now())) this.#site.apply(this, effect);
    this.#wake.set(this.#machine.deadline());
    if (this.held >= (this.options.diskRows ?? Number.POSITIVE_INFINITY)) this.#site.kill(this);
    if (event.type === "stored") this.options.onHeld?.(event.runs);
    if (event.type === "piece") this.options.onHeld?.(event.good);
  }

  /** A copy of what it holds. */
  rowsHeld(): Bitfield {
    return this.#have.clone();
  }

  /** True if this machine no longer lets `other` connect, or its claims count. */
  hasShutOut(other: SimNode): boolean {
    return this.#machine.isShutOut(other.peerId, this.#site.clock.now());
  }

  /** Entries of the tables that others can make grow. */
  tables(): ReturnType<SwarmMachine["tables"]> {
    return this.#machine.tables();
  }

  /** Says something to everybody that its decisions would not: what an insider does. */
  say(message: PeerMessage): void {
    for (const link of Array.from(this.links.keys())) this.#site.say(this, link, message);
  }

  /** All index pieces held: the frame table is known. */
  learn(): void {
    const { pieces, lengths } = this.image;
    if (this.#knowsFrames || this.#machine.status().held < pieces) return;
    if (this.options.mayLearn?.() === false) return;
    this.#knowsFrames = true;
    this.step({ type: "frames", lengths: lengths.slice(pieces), ...this.options.frames });
    this.options.onFrames?.(this);
  }

  stop(): void {
    this.isAlive = false;
    this.#wake.stop();
  }
}
