import { Bitfield, type Run, seededRandom, sha256, toHex } from "@ckmesh/core";
import { type LinkId, type SwarmEvent, SwarmMachine } from "@ckmesh/swarm";
import type { Claim, PeerClass, PeerMessage } from "@ckmesh/wire";
import type { SimImage } from "./sim-image.js";
import type { SimSite } from "./sim-site.js";

export interface NodeOptions {
  readonly peerClass?: PeerClass;
  /** Rows held at the start. */
  readonly have?: Bitfield;
  /** Own limits, bytes per ms. */
  readonly wanCap?: number;
  readonly lanRate?: number;
  /** Bends what the node says: a liar, a miser. Undefined drops the message. */
  readonly bend?: (message: PeerMessage) => PeerMessage | undefined;
  /** What its driver says with the frame table: rows from local data, rows wanted. */
  readonly frames?: { readonly local?: Bitfield; readonly wanted?: Bitfield };
  /** It has just learnt the frame table. */
  readonly onFrames?: (node: SimNode) => void;
  /** Rows that came, from wherever. */
  readonly onHeld?: (runs: readonly Run[]) => void;
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
  readonly links = new Map<LinkId, { readonly to: SimNode; readonly theirs: LinkId }>();
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
  readonly image: SimImage;
  #knowsFrames = false;
  #cancelTick: (() => void) | undefined;

  constructor(site: SimSite, index: number, image: SimImage, seed: number, options: NodeOptions) {
    this.#site = site;
    this.image = image;
    this.index = index;
    this.options = options;
    this.startedAt = site.clock.now();
    this.peerId = toHex(sha256(Buffer.from(`machine ${index}`)));
    this.address = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${(index & 255) + 1}`;
    const key = Buffer.from(this.peerId, "hex");
    this.#machine = new SwarmMachine(
      {
        versionId: new Uint8Array(32).fill(seed & 255),
        peerId: this.peerId,
        peerClass: options.peerClass ?? "wired",
        rows: image.lengths.length,
        sections: [
          { lengths: image.lengths.slice(0, 1), wanted: true },
          { lengths: image.lengths.slice(1, image.pieces), wanted: true },
        ],
        hashesRows: { first: 0, count: 1 },
        have: options.have ?? new Bitfield(image.lengths.length),
        swarming: true,
        allowLoopback: false,
        peerPort: 7650,
        random: seededRandom(seed * 100_003 + index),
        epoch: 1 + site.clock.now(),
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

  get moving(): number {
    return this.#machine.status().moving;
  }

  /** True if a connected peer offers the row. */
  isOffered(row: number): boolean {
    return this.#machine.isOffered(row);
  }

  step(event: SwarmEvent): void {
    if (!this.isAlive) return;
    const { clock } = this.#site;
    for (const effect of this.#machine.step(event, clock.now())) this.#site.apply(this, effect);
    this.#cancelTick?.();
    const due = this.#machine.deadline();
    if (due !== undefined)
      this.#cancelTick = clock.after(Math.max(0, due - clock.now()), () => this.step({ type: "tick" }));
    if (event.type === "stored") this.options.onHeld?.(event.runs);
    if (event.type === "piece") this.options.onHeld?.(event.good);
  }

  /** All index pieces held: the frame table is known. */
  learn(): void {
    const { pieces, lengths } = this.image;
    if (this.#knowsFrames || this.#machine.status().held < pieces) return;
    this.#knowsFrames = true;
    this.step({ type: "frames", lengths: lengths.slice(pieces), ...this.options.frames });
    this.options.onFrames?.(this);
  }

  stop(): void {
    this.isAlive = false;
    this.#cancelTick?.();
  }
}
