import { AppError, Bitfield, equalBytes, type Logger, type Run } from "@ckmesh/core";
import { checkTrust, decodeHead, deriveSwarmKeys, indexFileName, type SignedHead } from "@ckmesh/image";
import type { VersionFiles } from "@ckmesh/store";
import { type DonorEffect, type DonorEvent, DonorMachine, WakeTimer } from "@ckmesh/swarm";
import { asAppError, isLocalFault } from "../as-app-error.js";
import type { ClientContext } from "../client-context.js";
import { VersionSwarm } from "../version/version-swarm.js";
import type { Waste } from "../version/waste.js";
import { AwaitedUpdate } from "./awaited-update.js";
import { DONOR_SECTIONS, DonorFiles, MAX_DONOR_BYTES } from "./donor-files.js";

export interface DonorVersionOptions {
  readonly context: ClientContext;
  /** The version that is fetched; its head names the previous one. */
  readonly target: VersionFiles;
  readonly swarm: Pick<VersionSwarm, "step" | "donate" | "expected">;
  readonly waste: Waste;
  readonly logger: Logger;
  readonly onProgress: () => void;
  /** The work on the target cannot go on: full disk. */
  readonly onFault: (err: AppError) => void;
}

/**
 * The version from which `target` was made is not here, and its swarm may be joined as the target's.
 * @param held the newest complete version that is here
 */
export function needsDonor(
  target: VersionFiles,
  held: VersionFiles | undefined,
  { isOriginPrivate, peers }: Pick<ClientContext, "isOriginPrivate" | "peers">,
): boolean {
  const { previous } = target.signed.head;
  if (target.isComplete || previous === undefined || !(isOriginPrivate || peers.allowOpenSwarm)) return false;
  return held === undefined || !equalBytes(held.signed.id, previous.id);
}

/**
 * The swarm of the previous version, joined for frames that the target has too (site swarm rule 8): only from
 * peers, never over the WAN but for its head. How long the target's WAN waits for it: `DonorMachine`.
 */
export class DonorVersion {
  readonly #options: DonorVersionOptions;
  readonly #machine = new DonorMachine();
  readonly #abort = new AbortController();
  readonly #targetKnown: Promise<void>;
  readonly #work: Promise<void>;
  #tellTargetKnown: () => void = () => {};
  #files: DonorFiles | undefined;
  #swarm: VersionSwarm | undefined;
  #update: AwaitedUpdate | undefined;
  /** Frames of the target that are none of its; undefined: not known yet. */
  #news: Bitfield | undefined;
  #hasAll = false;
  #leave: (() => void) | undefined;
  readonly #wake: WakeTimer;

  constructor(options: DonorVersionOptions) {
    this.#options = options;
    this.#wake = new WakeTimer(options.context.clock, () => this.#look());
    this.#targetKnown = new Promise((resolve) => {
      this.#tellTargetKnown = resolve;
    });
    this.#step({ type: "start" });
    this.#work = this.#join().catch((err: unknown) => {
      this.#giveUp(asAppError(err));
    });
    this.held([]);
  }

  /** Bytes per second from its peers. */
  get rate(): number {
    return this.#swarm?.peersRate.rate ?? 0;
  }

  /** Frames of the target may come by a delta, from peers that are about to update: not claimed meanwhile. */
  get awaitsUpdate(): boolean {
    return this.#update?.isHolding === true;
  }

  /** Rows of the target came, from wherever. */
  held(targetRuns: readonly Run[]): void {
    if (this.#options.target.frames !== undefined) {
      this.#tellTargetKnown();
      this.#step({ type: "target-frames" });
    }
    if (this.#machine.isEnded || this.#files === undefined || this.#swarm === undefined) return;
    const runs = this.#files.hold(targetRuns);
    if (runs.length === 0) return;
    this.#step({ type: "came" });
    this.#swarm.step({ type: "stored", runs, source: "local" });
  }

  /** The target's swarm asks its peers for rows, or no longer does. */
  asked(targetRows: Run, isAsked: boolean): void {
    const runs = this.#files?.donorRuns([targetRows]) ?? [];
    if (!this.#machine.isEnded && runs.length > 0) this.#swarm?.step({ type: "elsewhere", runs, isAsked });
  }

  /** Leaves the swarm. Safe to call twice. */
  async close(): Promise<void> {
    this.#step({ type: "end" });
    await this.#work;
    await this.#update?.close();
    await this.#swarm?.close();
  }

  async #join(): Promise<void> {
    const { context, target, waste, logger } = this.#options;
    const signed = await this.#fetchHead();
    const keys = deriveSwarmKeys(signed.head.secret, signed.id);
    const { peers, clock, random } = context;
    const isJoined = peers.directory.members.some(({ swarm }) => equalBytes(swarm, keys.swarm));
    if (this.#machine.isEnded || isJoined) {
      this.#giveUp(undefined);
      return;
    }
    const files = new DonorFiles(signed, target, {
      stored: (runs) => {
        this.#options.swarm.step({ type: "stored", runs, source: "local" });
        this.#options.onProgress();
      },
      lost: (runs) => {
        this.#options.swarm.step({ type: "lost", runs });
      },
    });
    const swarm = new VersionSwarm({
      files,
      rows: { fetch: () => Promise.reject(new Error("unreachable: a donor has no WAN")) },
      waste,
      peerId: peers.identity.peerIdHex,
      peerClass: peers.peerClass,
      peerPort: peers.port,
      allowLoopback: peers.allowLoopback,
      identity: peers.identity,
      join: (onPeer) =>
        peers.transport.addSwarm({
          versionId: signed.id,
          ...keys,
          layout: {
            rows: files.table.layout.rows,
            rowsLength: (first, length) => files.table.rowsIn(first, length),
          },
          onPeer,
        }),
      isWanOpen: false,
      sections: DONOR_SECTIONS,
      clock,
      random,
      logger,
      indexCarry: undefined,
      holdsOlder: false,
      planLocal: async () => {
        const none = new Bitfield(files.table.layout.rows);
        await this.#targetKnown;
        const wanted = target.frames === undefined ? none : await files.match();
        if (!this.#machine.isEnded) {
          logger.info({ frames: wanted.count }, "frames of equal hash in the previous version");
          // Before the frames that are not among them are let go.
          this.#news = files.targetNews();
          this.#update?.look();
          this.#step({ type: "matched" });
        }
        return { rows: none, wanted, copy: async () => {} };
      },
      onAsked: (rows, isAsked) => {
        const runs = files.targetRuns(rows);
        if (runs.length > 0) this.#options.swarm.step({ type: "elsewhere", runs, isAsked });
      },
      onProgress: this.#options.onProgress,
      onNewer: (version) => this.#update?.heard(version),
      onComplete: () => {
        this.#hasAll = true;
        this.#leaveIfDone();
      },
      onFault: (err) => {
        if (isLocalFault(err)) this.#options.onFault(err);
        else this.#giveUp(err);
      },
      onOriginError: () => {},
      onPeerLinked: peers.remember,
    });
    this.#files = files;
    this.#swarm = swarm;
    this.#leave = peers.directory.add({
      swarm: keys.swarm,
      have: () => ({ have: files.have.count, rows: files.table.layout.rows }),
      step: (event) => {
        swarm.step(event);
      },
    });
    swarm.start();
    this.#update = new AwaitedUpdate({
      context,
      target,
      swarm: this.#options.swarm,
      donor: () => (this.#machine.isEnded ? undefined : swarm),
      news: () => this.#news,
      logger,
      onReleased: () => this.#leaveIfDone(),
    });
  }

  /** All that it has to give is here, and its peers know of the target. */
  #leaveIfDone(): void {
    if (this.#hasAll && !this.awaitsUpdate) this.#step({ type: "end" });
  }

  /** @throws {AppError} as `OriginHttp.fetchHead`; ERR_INDEX_INVALID, ERR_SIGNATURE_INVALID */
  async #fetchHead(): Promise<SignedHead> {
    const { context, target } = this.#options;
    const { name, previous } = target.signed.head;
    if (previous === undefined) throw new Error("unreachable: no previous version");
    const file = indexFileName(name, previous.version);
    const answer = await context.origin.fetchHead(file, { signal: this.#abort.signal });
    if (answer.status !== "found") throw new AppError("ERR_ORIGIN_INVALID", `no head of ${file} was sent`);
    const signed = decodeHead(answer.bytes);
    const { head } = signed;
    if (!equalBytes(signed.id, previous.id) || head.name !== name || head.version !== previous.version)
      throw new AppError("ERR_INDEX_INVALID", `${file} is not the version from which the newer one was made`);
    checkTrust(signed, context.trust);
    const kept = head.sections.filter(({ kind }) => DONOR_SECTIONS.has(kind));
    if (kept.reduce((sum, { length }) => sum + length, 0) > MAX_DONOR_BYTES)
      throw new AppError("ERR_INDEX_INVALID", `the frame table of ${file} is too long to be kept in memory`);
    return signed;
  }

  /** Nothing is lost without a donor; on a stock server the old head is simply not there. */
  #giveUp(err: AppError | undefined): void {
    if (err !== undefined && err.code !== "ERR_ABORTED") {
      const isThere = err.code !== "ERR_IMAGE_NOT_FOUND";
      this.#options.logger[isThere ? "warn" : "debug"]({ err }, "swarm of the previous version not joined");
    }
    this.#step({ type: "end" });
  }

  #step(event: DonorEvent): void {
    const { clock } = this.#options.context;
    for (const effect of this.#machine.step(event, clock.now())) this.#apply(effect);
    this.#wake.set(this.#machine.deadline());
  }

  #apply(effect: DonorEffect): void {
    const { swarm, target } = this.#options;
    const { rows } = target.table.layout;
    switch (effect.type) {
      case "hold":
        if (effect.rows === "all-frames") swarm.donate("all", effect.isSure);
        else swarm.donate(effect.rows === "none" ? new Bitfield(rows) : effect.rows, effect.isSure);
        return;
      case "leave":
        this.#abort.abort();
        this.#leave?.();
        swarm.step({ type: "elsewhere", runs: [{ first: 0, count: rows }], isAsked: false });
        this.#tellTargetKnown();
        this.#swarm?.close().catch((err: unknown) => {
          this.#options.onFault(asAppError(err));
        });
        return;
    }
  }

  /** Looks at the donor's peers for what the machine wants to know. */
  #look(): void {
    const [files, donor] = [this.#files, this.#swarm];
    if (this.#machine.looksFor === "frames" && files !== undefined && donor !== undefined) {
      this.#step({ type: "offered", rows: files.targetRows((row) => donor.isOffered(row)) });
      return;
    }
    const first = files?.table.layout.section("frames")?.first;
    const hasTable =
      first !== undefined && (files?.have.has(first) === true || donor?.isOffered(first) === true);
    this.#step({ type: "table", isSettled: donor?.isSettled === true, hasTable });
  }
}
