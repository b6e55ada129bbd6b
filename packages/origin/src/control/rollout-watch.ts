import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, describeError, type Logger, type Metrics, sha256, toHex } from "@ckmesh/core";
import { type ControlRecord, type Rollout, rolloutOf } from "@ckmesh/image";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";
import { fileKey } from "../serve/served-path.js";
import { type ClientOutcome, type OutcomeCounts, OutcomeTally } from "./outcome-tally.js";
import { decodeRollouts, encodeRollouts, MAX_ROLLOUTS, type RolloutState } from "./rollout-state.js";

export interface OutcomeReport extends ClientOutcome {
  /** Peer id, hexadecimal. */
  readonly client: string;
  readonly image: string;
  readonly version: number;
}

/** The origin has stopped a rollout by itself. */
export interface RolloutHold {
  readonly image: string;
  readonly version: number;
  readonly serial: number;
  readonly counts: OutcomeCounts;
}

export interface RolloutWatchOptions {
  readonly stateDir: string;
  readonly recordOf: (image: string) => ControlRecord | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly onHeld: (hold: RolloutHold) => void;
}

export interface RolloutStatus {
  readonly image: string;
  readonly version: number;
  readonly outcomes: OutcomeCounts;
  /** ISO 8601; null: not held by the origin. */
  readonly heldSince: string | null;
}

const FILE_NAME = "rollouts.json";
/** Clients counted in all rollouts together. */
const MAX_CLIENTS = 200_000;
/** Reports are saved at most this often; a hold at once. */
const SAVE_MS = 10_000;
/** Of the hash of a client's id: it tells clients apart and names none. */
const CLIENT_KEY_BYTES = 8;

/**
 * Counts what clients report of the versions that are being rolled out, and holds a rollout that fails too often. Any
 * reader may report anything: the worst that comes of it is a delay, which a person ends by the next control record.
 */
export class RolloutWatch {
  readonly #options: RolloutWatchOptions;
  readonly #path: string;
  readonly #states = new Map<string, RolloutState>();
  readonly #reports: ReturnType<Metrics["counter"]>;
  #saving: Promise<void> = Promise.resolve();
  #cancelSave: (() => void) | undefined;

  private constructor(options: RolloutWatchOptions) {
    this.#options = options;
    this.#path = join(options.stateDir, FILE_NAME);
    this.#reports = options.metrics.counter(
      "ckmesh_origin_outcomes_total",
      "Outcomes of versions that clients reported",
      ["outcome"],
    );
  }

  static async open(options: RolloutWatchOptions): Promise<RolloutWatch> {
    const watch = new RolloutWatch(options);
    await watch.#load();
    return watch;
  }

  /** A version that is not being rolled out is nobody's business: nothing is kept of it. */
  report({ client, image, version, outcome, code }: OutcomeReport): void {
    const record = this.#options.recordOf(image);
    const rollout = record === undefined ? undefined : rolloutOf(record, version);
    if (record === undefined || rollout === undefined) return;
    this.#reports.add(1, { outcome });
    const state = this.#stateOf(record, rollout);
    if (state === undefined) return;
    const key = toHex(sha256(Buffer.from(client.toLowerCase())).subarray(0, CLIENT_KEY_BYTES));
    state.tally.add(key, { outcome, ...(code !== undefined && { code }) }, this.#clientCount < MAX_CLIENTS);
    this.#judge(state, record, rollout);
    if (state.heldAt === undefined) this.#saveSoon();
  }

  /** Versions of an image whose rollout the origin holds. */
  heldOf(image: string): readonly number[] {
    const record = this.#options.recordOf(image);
    if (record === undefined) return [];
    return record.rollouts.flatMap((rollout) =>
      this.#find(record, rollout)?.heldAt === undefined ? [] : [rollout.version],
    );
  }

  /** Forgets what the record in force does not ask for any more. */
  controlChanged(image: string): void {
    const record = this.#options.recordOf(image);
    const key = fileKey(image);
    for (const [id, state] of this.#states) {
      if (fileKey(state.image) !== key) continue;
      const rollout = record === undefined ? undefined : rolloutOf(record, state.version);
      if (rollout?.since !== state.since) this.#states.delete(id);
    }
    this.#saveSoon();
  }

  status(): readonly RolloutStatus[] {
    return Array.from(this.#states.values(), ({ image, version, tally, heldAt }) => ({
      image,
      version,
      outcomes: tally.counts,
      heldSince: heldAt === undefined ? null : new Date(heldAt).toISOString(),
    }));
  }

  async close(): Promise<void> {
    if (this.#cancelSave !== undefined) {
      this.#cancelSave();
      this.#cancelSave = undefined;
      this.#save();
    }
    await this.#saving;
  }

  get #clientCount(): number {
    let count = 0;
    for (const { tally } of this.#states.values()) count += tally.size;
    return count;
  }

  #find(record: ControlRecord, { version, since }: Rollout): RolloutState | undefined {
    const state = this.#states.get(stateKey(record.name, version));
    return state?.since === since ? state : undefined;
  }

  #stateOf(record: ControlRecord, rollout: Rollout): RolloutState | undefined {
    const known = this.#find(record, rollout);
    if (known !== undefined) return known;
    const { version, since } = rollout;
    const key = stateKey(record.name, version);
    if (!this.#states.has(key) && this.#states.size >= MAX_ROLLOUTS) return undefined;
    const state = { image: record.name, version, since, tally: new OutcomeTally(), heldAt: undefined };
    this.#states.set(key, state);
    return state;
  }

  #judge(state: RolloutState, record: ControlRecord, { failureLimit }: Rollout): void {
    if (state.heldAt !== undefined || failureLimit === undefined || !state.tally.exceeds(failureLimit))
      return;
    const { clock, logger, onHeld } = this.#options;
    state.heldAt = Math.round(clock.wall());
    const { image, version } = state;
    const { counts } = state.tally;
    logger.error(
      { image, version, counts },
      "rollout held: too many clients failed; the next control record for this version decides",
    );
    onHeld({ image, version, serial: record.serial, counts });
    this.#save();
  }

  async #load(): Promise<void> {
    try {
      for (const state of decodeRollouts(await readFile(this.#path, "utf8"))) {
        this.#states.set(stateKey(state.image, state.version), state);
      }
    } catch (err) {
      if (fileErrorCode(err) === "ENOENT") return;
      const reason = describeError(err);
      this.#options.logger.warn(
        { path: this.#path, reason },
        "outcomes are counted anew: they cannot be read",
      );
    }
  }

  #saveSoon(): void {
    this.#cancelSave ??= this.#options.clock.after(SAVE_MS, () => {
      this.#cancelSave = undefined;
      this.#save();
    });
  }

  #save(): void {
    this.#saving = this.#saving
      .then(() => writeAtomic(this.#path, encodeRollouts(this.#states.values())))
      .catch((err: unknown) => {
        this.#options.logger.error({ err, path: this.#path }, "outcomes of rollouts cannot be saved");
      });
  }
}

function stateKey(image: string, version: number): string {
  return `${fileKey(image)}\n${version}`;
}
