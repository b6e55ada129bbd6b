import {
  type AppError,
  type Bitfield,
  type Clock,
  describeError,
  isAppError,
  type Logger,
  MIB,
  type Random,
  type Run,
  rowBlocks,
} from "@ckmesh/core";
import type { SectionKind } from "@ckmesh/image";
import type { PeerLink, SwarmEndpoint } from "@ckmesh/net";
import {
  type FetchId,
  type LinkId,
  type SwarmEffect,
  type SwarmEvent,
  SwarmMachine,
  WakeTimer,
} from "@ckmesh/swarm";
import {
  claimSigningBytes,
  type PeerAddress,
  type PeerClass,
  type PeerMessage,
  promiseSigningBytes,
} from "@ckmesh/wire";
import { asAppError, isLocalFault } from "../as-app-error.js";
import type { IndexCarry } from "../local/index-carry.js";
import type { LocalPlan } from "../local/local-plan.js";
import { LocalRows } from "../local/local-rows.js";
import { PeerLinks } from "../peers/peer-links.js";
import { fetchRows, freshParts } from "../rows/fetch-rows.js";
import type { OriginRows } from "../rows/origin-rows.js";
import { pieceSections } from "../rows/piece-sections.js";
import { RateMeter } from "../rows/rate-meter.js";
import { RowAssembler, type RowBytes } from "../rows/row-assembler.js";
import type { SwarmFiles } from "../rows/swarm-files.js";
import { timeFirstByte } from "../rows/time-first-byte.js";
import type { WanControl } from "../wan/wan-control.js";
import type { Waste } from "./waste.js";

/** Pieces of all peers that are not on the disk yet; beyond it nothing more is read from them. */
const MAX_UNSTORED_BYTES = 32 * MIB;

export interface VersionSwarmOptions {
  readonly files: SwarmFiles;
  /** How rows come from the origin. */
  readonly rows: Pick<OriginRows, "fetch">;
  /** How much may come from there; undefined: anything. */
  readonly wan?: Pick<WanControl, "pacer" | "isOpen" | "subscribe">;
  readonly waste: Waste;
  readonly peerId: string;
  readonly peerClass: PeerClass;
  readonly peerPort: number;
  readonly allowLoopback: boolean;
  readonly identity: { readonly publicKey: Uint8Array; sign(bytes: Uint8Array): Uint8Array };
  /** Registers the swarm with the transport; undefined: no peers for this version. */
  readonly join?: (onPeer: (link: PeerLink) => void) => SwarmEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Pieces of the index that may follow from an older one. */
  readonly indexCarry: IndexCarry | undefined;
  /** An older version lies here: until it is known which frames it has, peers are promised all. */
  readonly holdsOlder: boolean;
  /** False: peers only, never the origin. */
  readonly isWanOpen?: boolean;
  /** Sections of the index that are wanted; undefined: all. */
  readonly sections?: ReadonlySet<SectionKind>;
  /** True if the row comes without the WAN at this moment, from a source beside this swarm. */
  readonly comesBeside?: (row: number) => boolean;
  /** Rows that came, from wherever. */
  readonly onHeld?: (runs: readonly Run[]) => void;
  /** Peers were asked for rows, or will not deliver them. */
  readonly onAsked?: (rows: Run, isAsked: boolean) => void;
  /** Something changed that a status would show. */
  readonly onProgress: () => void;
  /** The frame table has just been proven: which of its frames lie in local packs? */
  readonly planLocal: (signal: AbortSignal) => Promise<LocalPlan>;
  /** Section `ids` must be here before that can be said. */
  readonly needsIds?: boolean;
  /** A peer says that the origin has a newer version. */
  readonly onNewer?: (version: number, peerId: string) => void;
  /** Every row is held. */
  readonly onComplete: () => void;
  /** The work cannot go on: full disk, senseless index. */
  readonly onFault: (err: AppError) => void;
  /** The origin failed or served something else; the machine goes on. */
  readonly onOriginError: (err: AppError) => void;
  readonly onPeerLinked: (peer: PeerAddress) => void;
}

/**
 * The I/O around the decisions of one version's swarm: links, files and range requests of one `SwarmMachine`.
 * Events go in one at a time, effects are carried out in order.
 */
export class VersionSwarm {
  readonly #options: VersionSwarmOptions;
  readonly #machine: SwarmMachine;
  readonly #local: LocalRows;
  readonly #endpoint: SwarmEndpoint | undefined;
  readonly #links: PeerLinks;
  readonly #fetches = new Map<FetchId, AbortController>();
  readonly #abort = new AbortController();
  readonly #work = new Set<Promise<void>>();
  readonly #queue: SwarmEvent[] = [];
  readonly peersRate: RateMeter;
  readonly originRate: RateMeter;
  readonly #wake: WakeTimer;
  #unstoredBytes = 0;
  #isStepping = false;
  #isClosed = false;
  #unsubscribe: (() => void) | undefined;

  constructor(options: VersionSwarmOptions) {
    this.#options = options;
    const { files, clock } = options;
    this.peersRate = new RateMeter(clock);
    this.originRate = new RateMeter(clock);
    this.#machine = new SwarmMachine(
      {
        versionId: files.signed.id,
        peerId: options.peerId,
        peerClass: options.peerClass,
        rows: files.table.layout.rows,
        sections: pieceSections(files, options.sections),
        hashesRows: files.table.layout.section("hashes") ?? { first: 0, count: 0 },
        have: files.have.clone(),
        swarming: options.join !== undefined,
        tellsAsked: options.onAsked !== undefined,
        ...(options.comesBeside !== undefined && { comesBeside: options.comesBeside }),
        allowLoopback: options.allowLoopback,
        peerPort: options.peerPort,
        random: options.random,
        epoch: Math.floor(clock.wall() / 1000),
        sign: (claim) => ({
          ...claim,
          key: options.identity.publicKey,
          signature: options.identity.sign(claimSigningBytes(files.signed.id, claim)),
        }),
        verify: () => true, // the transport lets no unproven claim through
        signPromise: (promise) => ({
          ...promise,
          key: options.identity.publicKey,
          signature: options.identity.sign(promiseSigningBytes(files.signed.id, promise)),
        }),
        verifyPromise: () => true, // nor a promise
        ...(options.wan !== undefined && { wan: options.wan.pacer }),
      },
      clock.now(),
    );
    this.#wake = new WakeTimer(clock, () => {
      this.step({ type: "tick" });
    });
    this.#local = new LocalRows({
      ...options,
      step: (event) => {
        this.step(event);
      },
      run: (work) => {
        this.#run(work);
      },
      signal: this.#abort.signal,
    });
    this.#links = new PeerLinks({
      files,
      logger: options.logger,
      step: (event) => this.step(event),
      onMessage: (link, message) => this.#received(link, message),
      onProgress: options.onProgress,
      onPeerLinked: options.onPeerLinked,
    });
    this.#endpoint = options.join?.((link) => {
      this.#links.add(link);
    });
  }

  /** Begins to work; rows held so far are known to the machine already. */
  start(): void {
    this.#local.start();
    this.setWanOpen(this.#options.isWanOpen ?? true);
    this.#options.onProgress();
  }

  /** False: rows come from peers or not at all, however long that takes. */
  setWanOpen(isOpen: boolean): void {
    const { wan } = this.#options;
    this.#unsubscribe?.();
    this.#unsubscribe = isOpen
      ? wan?.subscribe((open) => this.step({ type: "origin-gate", open }))
      : undefined;
    this.step({ type: "origin-gate", open: isOpen && wan?.isOpen !== false });
  }

  get links(): number {
    return this.#links.size;
  }

  /** It has looked for peers long enough. */
  get isSettled(): boolean {
    return this.#machine.status().isSettled;
  }

  /** True if a connected peer offers the row. */
  isOffered(row: number): boolean {
    return this.#machine.isOffered(row);
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

  /** Addresses of connected peers that take connections. */
  get peers(): readonly PeerAddress[] {
    return this.#machine.peers();
  }

  /** Frames that a source beside the swarm, as that of the previous version, may bring (`isSure`: will): not claimed meanwhile. */
  donate(rows: Bitfield | "all", isSure: boolean): void {
    this.#local.donate(rows === "all" ? this.#local.allFrames() : rows, isSure);
  }

  /** Gives the machine an event and does what it wants. */
  step(event: SwarmEvent): void {
    if (this.#isClosed) return;
    this.#queue.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        for (const effect of this.#machine.step(next, this.#options.clock.now())) this.#carryOut(effect);
        if (next.type === "stored") this.#options.onHeld?.(next.runs);
        else if (next.type === "piece") this.#options.onHeld?.(next.good);
      }
    } finally {
      this.#isStepping = false;
    }
    this.#wake.set(this.#isClosed ? undefined : this.#machine.deadline());
  }

  /** Ends all transfers; whole rows stay. Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake.stop();
    this.#unsubscribe?.();
    this.#machine.close();
    this.#abort.abort();
    for (const controller of this.#fetches.values()) controller.abort();
    this.#links.close();
    await this.#endpoint?.close();
    await Promise.allSettled(this.#work);
  }

  #carryOut(effect: SwarmEffect): void {
    switch (effect.type) {
      case "dial":
        this.#run(this.#dial(effect.peer));
        return;
      case "close":
        this.#links.end(effect.link, effect.reason);
        return;
      case "send":
        this.#links.send(effect.link, effect.message);
        return;
      case "upload":
        this.#run(this.#links.upload(effect.link, effect.row, effect.length));
        return;
      case "asked":
        this.#options.onAsked?.(effect.rows, effect.isAsked);
        return;
      case "heard-newer":
        this.#options.onNewer?.(effect.version, effect.peerId);
        return;
      case "fetch":
        this.#run(this.#fetch(effect.fetch, effect.rows, effect.span));
        return;
      case "abort-fetch":
        this.#fetches.get(effect.fetch)?.abort();
        return;
      case "complete":
        this.#options.onComplete();
        return;
    }
  }

  /** Keeps track of work that runs beside the machine; what it throws is a fault of this version. */
  #run(work: Promise<void>): void {
    const tracked = work
      .catch((err: unknown) => {
        if (this.#isClosed) return;
        this.#options.onFault(asAppError(err));
      })
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  async #dial(peer: PeerAddress): Promise<void> {
    try {
      await this.#endpoint?.dial(peer, this.#abort.signal);
    } catch (err) {
      if (!isAppError(err)) throw err;
      const reason = err.code === "ERR_PEER_REFUSED" ? "refused" : "unreachable";
      this.#options.logger.debug({ reason: describeError(err) }, "peer not reached");
      this.step({ type: "dial-failed", peer, reason });
    }
  }

  #received(id: LinkId, message: PeerMessage): void {
    if (this.#isClosed) return;
    if (message.type === "piece") {
      this.#run(this.#piece(id, message.row, message.bytes));
      return;
    }
    this.step({ type: "message", link: id, message });
    if (message.type === "bad-rows") this.#run(this.#recheck(id, message.runs));
  }

  /** Hashes each row of an answer, stores the good ones, then tells the machine. */
  async #piece(id: LinkId, row: number, bytes: Uint8Array): Promise<void> {
    const { files, waste } = this.#options;
    const count = files.table.rowsIn(row, bytes.byteLength);
    if (count === undefined) return; // the transport lets no such piece through
    this.peersRate.add(bytes.byteLength);
    const { good, bad, unknown } = new RowAssembler(files.table, { first: row, count }).push(bytes);
    for (const part of unknown) waste.add("retried", part.bytes.byteLength, "peers");
    for (const part of bad) waste.add("rejected", part.bytes.byteLength, "peers");
    this.#unstored(bytes.byteLength);
    try {
      for (const part of good.flatMap((rows) => freshParts(rows, files))) {
        if (part.isHeld) waste.add("duplicate", part.bytes.byteLength, "peers");
        else await files.write(part.run, part.bytes, "peers");
      }
    } finally {
      this.#unstored(-bytes.byteLength);
      rowBlocks.give(bytes);
    }
    this.step({ type: "piece", link: id, row, good: runsOf(good), bad: runsOf(bad) });
    this.#advanced();
  }

  /** A disk slower than the LAN holds the peers back. */
  #unstored(bytes: number): void {
    const wasFull = this.#unstoredBytes > MAX_UNSTORED_BYTES;
    this.#unstoredBytes += bytes;
    const isFull = this.#unstoredBytes > MAX_UNSTORED_BYTES;
    if (isFull !== wasFull) this.#links.setPaused(isFull);
  }

  async #fetch(id: FetchId, run: Run, span: number): Promise<void> {
    const { files, rows, waste, logger } = this.#options;
    const controller = new AbortController();
    this.#fetches.set(id, controller);
    const { result, error, retryMs } = await fetchRows({
      files,
      rows: timeFirstByte(rows, this.#options, (ms) => this.step({ type: "first-byte", fetch: id, ms })),
      run,
      span,
      waste,
      logger,
      meter: this.originRate,
      signal: controller.signal,
      onStored: (runs) => {
        this.step({ type: "stored", runs, source: "origin", fetch: id });
        this.#advanced();
      },
    });
    this.#fetches.delete(id);
    if (this.#isClosed) return;
    if (error !== undefined && isLocalFault(error)) this.#options.onFault(error);
    else if (error !== undefined) this.#options.onOriginError(error);
    this.step({ type: "fetch-ended", fetch: id, result, ...(retryMs !== undefined && { retryMs }) });
  }

  async #recheck(id: LinkId, runs: readonly Run[]): Promise<void> {
    const { files, clock } = this.#options;
    const known = runs.filter((run) => run.first + run.count <= files.table.layout.rows);
    if (!this.#links.mayRecheck(id, known, clock.now())) return;
    const lost = await files.recheck(known);
    if (lost.length > 0) this.step({ type: "lost", runs: lost });
  }

  /** Rows came. */
  #advanced(): void {
    this.#options.onProgress();
    this.#local.advanced();
  }
}

function runsOf(parts: readonly RowBytes[]): readonly Run[] {
  return parts.map((part) => part.run);
}
