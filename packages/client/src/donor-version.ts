import { AppError, Bitfield, equalBytes, type Logger, type Run } from "@ckmesh/core";
import { checkTrust, decodeHead, deriveSwarmKeys, indexFileName, type SignedHead } from "@ckmesh/image";
import type { VersionFiles } from "@ckmesh/store";
import { asAppError, isLocalFault } from "./as-app-error.js";
import type { ClientContext } from "./client-context.js";
import { DONOR_SECTIONS, DonorFiles, MAX_DONOR_BYTES } from "./donor-files.js";
import { VersionSwarm } from "./version-swarm.js";
import type { Waste } from "./waste.js";

/** How often it is looked at what the donor's peers offer: while frames are held back, and later. */
const HOLD_LOOK_MS = 250;
const LOOK_MS = 1000;
/** Longest time that frames are held back from the WAN for a donor that has not said what it has. */
const HOLD_MS = 10_000;
/**
 * When no common frame comes for this long, the WAN no longer waits for the donor's peers, whatever they offer: longer
 * than a turn at one busy peer takes, shorter than the patience of a swarm.
 */
const STALL_MS = 8000;

export interface DonorVersionOptions {
  readonly context: ClientContext;
  /** The version that is fetched; its head names the previous one. */
  readonly target: VersionFiles;
  readonly swarm: Pick<VersionSwarm, "step" | "donate">;
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
 * peers, never over the WAN but for its head. States: looking (frames of the target are held back from the WAN)
 * → none (nobody is there in time) → matched (what peers offer is held back) → doubted, for good (they do not bring
 * it: rows from elsewhere say nothing about them) → ended, when nothing in common is missing any more.
 */
export class DonorVersion {
  readonly #options: DonorVersionOptions;
  readonly #abort = new AbortController();
  readonly #targetKnown: Promise<void>;
  readonly #work: Promise<void>;
  #tellTargetKnown: () => void = () => {};
  #files: DonorFiles | undefined;
  #swarm: VersionSwarm | undefined;
  #leave: (() => void) | undefined;
  #cancelLook: (() => void) | undefined;
  #state: "looking" | "none" | "matched" | "doubted" | "ended" = "looking";
  /** When holding back ends; known once the frame table of the target is. */
  #holdUntil = Number.POSITIVE_INFINITY;
  #isDonating = true;
  /** When a common frame last came, or could for the first time. */
  #cameAt = 0;

  constructor(options: DonorVersionOptions) {
    this.#options = options;
    this.#targetKnown = new Promise((resolve) => {
      this.#tellTargetKnown = resolve;
    });
    options.swarm.donate("all", false);
    this.#work = this.#join().catch((err: unknown) => {
      this.#giveUp(asAppError(err));
    });
    this.held([]);
    this.#look();
  }

  /** Bytes per second from its peers. */
  get rate(): number {
    return this.#swarm?.peersRate.rate ?? 0;
  }

  /** Rows of the target came, from wherever. */
  held(targetRuns: readonly Run[]): void {
    if (this.#options.target.frames !== undefined) this.#tellTargetKnown();
    if (this.#state === "ended" || this.#files === undefined || this.#swarm === undefined) return;
    const runs = this.#files.hold(targetRuns);
    if (runs.length === 0) return;
    this.#cameAt = this.#options.context.clock.now();
    this.#swarm.step({ type: "stored", runs, source: "local" });
  }

  /** The target's swarm asks its peers for rows, or no longer does. */
  asked(targetRows: Run, isAsked: boolean): void {
    const runs = this.#files?.donorRuns([targetRows]) ?? [];
    if (this.#state !== "ended" && runs.length > 0) this.#swarm?.step({ type: "elsewhere", runs, isAsked });
  }

  /** Leaves the swarm. Safe to call twice. */
  async close(): Promise<void> {
    this.#end();
    await this.#work;
    await this.#swarm?.close();
  }

  async #join(): Promise<void> {
    const { context, target, waste, logger } = this.#options;
    const signed = await this.#fetchHead();
    const keys = deriveSwarmKeys(signed.head.secret, signed.id);
    const { peers, clock, random } = context;
    const isJoined = peers.directory.members.some(({ swarm }) => equalBytes(swarm, keys.swarm));
    if (this.#state === "ended" || isJoined) {
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
        if (this.#state !== "ended") {
          logger.info({ frames: wanted.count }, "frames of equal hash in the previous version");
          this.#state = "matched";
          this.#cameAt = clock.now();
          this.#look();
        }
        return { rows: none, wanted, copy: async () => {} };
      },
      onAsked: (rows, isAsked) => {
        const runs = files.targetRuns(rows);
        if (runs.length > 0) this.#options.swarm.step({ type: "elsewhere", runs, isAsked });
      },
      onProgress: this.#options.onProgress,
      onComplete: () => {
        this.#end();
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
    this.#end();
  }

  /** Holds back, for this client and in public, what peers of the previous version offer and nobody has yet. */
  #look(): void {
    const { context, swarm } = this.#options;
    const [files, donor] = [this.#files, this.#swarm];
    if (this.#state === "ended") return;
    this.#cancelLook?.();
    if (this.#state === "matched" && files !== undefined && donor !== undefined) {
      const rows = files.targetRows((row) => donor.isOffered(row));
      if (rows.count === 0) this.#cameAt = context.clock.now();
      if (context.clock.now() - this.#cameAt >= STALL_MS) {
        this.#state = "doubted";
        this.#release();
        return;
      }
      if (rows.count > 0 || this.#isDonating) swarm.donate(rows, true);
      this.#isDonating = rows.count > 0;
    } else if (this.#state === "looking" && !this.#mayFind(context.clock.now())) {
      this.#state = "none";
      this.#release();
    }
    const lookMs = this.#state === "looking" ? HOLD_LOOK_MS : LOOK_MS;
    this.#cancelLook = context.clock.after(lookMs, () => {
      this.#look();
    });
  }

  /** A peer with the previous version is there, or may still turn up in time. */
  #mayFind(now: number): boolean {
    if (this.#options.target.frames !== undefined) this.#holdUntil = Math.min(this.#holdUntil, now + HOLD_MS);
    if (now >= this.#holdUntil) return false;
    const [files, donor] = [this.#files, this.#swarm];
    if (files === undefined || donor === undefined || !donor.isSettled) return true;
    const table = files.table.layout.section("frames");
    return table !== undefined && (files.have.has(table.first) || donor.isOffered(table.first));
  }

  #release(): void {
    const { swarm, target } = this.#options;
    swarm.donate(new Bitfield(target.table.layout.rows), false);
  }

  #end(): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#abort.abort();
    this.#cancelLook?.();
    this.#leave?.();
    const { swarm, target } = this.#options;
    swarm.step({ type: "elsewhere", runs: [{ first: 0, count: target.table.layout.rows }], isAsked: false });
    this.#release();
    this.#tellTargetKnown();
    this.#swarm?.close().catch((err: unknown) => {
      this.#options.onFault(asAppError(err));
    });
  }
}
