import type { AppError, Logger } from "@ckmesh/core";
import { RowLayout, type SignedHead } from "@ckmesh/image";
import {
  NO_SOURCE_BYTES,
  type ShedPack,
  type VersionFiles,
  type VersionRecord,
  type VersionState,
} from "@ckmesh/store";
import { DeltaTally } from "../delta/delta-tally.js";
import type { StatusError, VersionStatus } from "../status.js";
import { ByteCounts } from "./byte-counts.js";
import { neededBytes } from "./needed-bytes.js";
import type { VersionDriverOptions } from "./version-driver-options.js";
import { Waste } from "./waste.js";

/** What a status says of a version that others know. */
interface StatusParts extends Pick<VersionStatus, "swarming" | "rate" | "peers"> {
  readonly importing: string | undefined;
  readonly spaceNeeded: VersionStatus["spaceNeeded"] | undefined;
  readonly files: VersionFiles | undefined;
  readonly shed: ShedPack | undefined;
}

/** What record, status and metrics say of a version: its state, its disk, its last error, what came and how. */
export class VersionFacts {
  readonly waste: Waste;
  /** What came of deltas. */
  readonly tally: DeltaTally;
  readonly #signed: SignedHead;
  readonly #options: VersionDriverOptions;
  readonly #logger: Logger;
  readonly #counts: ByteCounts;
  #state: VersionState;
  #disk: string | undefined;
  #error: StatusError | undefined;

  constructor(signed: SignedHead, options: VersionDriverOptions, logger: Logger) {
    const { record, context } = options;
    this.#signed = signed;
    this.#options = options;
    this.#logger = logger;
    this.waste = new Waste(record.wasted);
    this.tally = new DeltaTally(record.deltas);
    this.#counts = new ByteCounts(context.metrics, logger, record.wasted);
    this.#state = record.state;
    this.#disk = record.disk;
    this.#error = record.error;
  }

  get state(): VersionState {
    return this.#state;
  }

  /** File name of its rebuilt disk. */
  get disk(): string | undefined {
    return this.#disk;
  }

  get error(): StatusError | undefined {
    return this.#error;
  }

  setState(state: VersionState, disk?: string): void {
    if (disk !== undefined) this.#disk = disk;
    if (this.#state !== state) {
      this.#logger.info({ from: this.#state, to: state }, "version changed state");
      this.#options.context.metrics.versions.add(1, { state });
    }
    this.#state = state;
    this.#options.onChanged();
  }

  setError(err: AppError | undefined): void {
    this.#error = err === undefined ? undefined : { code: err.code, message: err.message };
    this.#options.onChanged();
  }

  /** What goes on now may bring another one; nobody is told. */
  forgetError(): void {
    this.#error = undefined;
  }

  /** @param isOld what the files hold came in an earlier run */
  countBytes(files: VersionFiles | undefined, isOld: boolean): void {
    if (files !== undefined) this.#counts.look(this.tally.add(files.bytes), this.waste.bytes, isOld);
  }

  record(shed: ShedPack | undefined): VersionRecord {
    const { isPrivate, isFramesIndex } = this.#options.record;
    return {
      version: this.#signed.head.version,
      id: this.#signed.idHex,
      state: this.#state,
      isPrivate,
      isFramesIndex,
      wasted: this.waste.bytes,
      ...this.tally.record,
      ...(this.#disk !== undefined && { disk: this.#disk }),
      ...(shed !== undefined && { shed }),
      ...(this.#error !== undefined && { error: this.#error }),
    };
  }

  status({ files, shed, importing, spaceNeeded, ...parts }: StatusParts): VersionStatus {
    const { head, idHex } = this.#signed;
    return {
      ...parts,
      version: head.version,
      id: idHex,
      state: this.#state,
      haveRows: files?.have.count ?? shed?.rows ?? 0,
      rows: files?.table.layout.rows ?? (shed === undefined ? 0 : new RowLayout(head).rows),
      needed: neededBytes(head) + this.tally.needed,
      bytes: this.tally.add(files?.bytes ?? shed?.bytes ?? NO_SOURCE_BYTES),
      wasted: this.waste.bytes,
      ...(this.#disk !== undefined && { disk: this.#disk }),
      ...(shed !== undefined && { packShed: true }),
      ...(this.#disk === undefined && spaceNeeded !== undefined && { spaceNeeded }),
      ...(importing !== undefined && { importing }),
      ...(this.#error !== undefined && { error: this.#error }),
    };
  }
}
