import { Bitfield, isAppError, type Logger } from "@ckmesh/core";
import type { SwarmEvent } from "@ckmesh/swarm";
import { isLocalFault } from "../as-app-error.js";
import type { SwarmFiles } from "../rows/swarm-files.js";
import type { IndexCarry } from "./index-carry.js";
import type { LocalPlan } from "./local-plan.js";

export interface LocalRowsOptions {
  readonly files: SwarmFiles;
  /** Pieces of the index that may follow from an older one. */
  readonly indexCarry: IndexCarry | undefined;
  /** An older version lies here: until it is known which frames it has, peers are promised all. */
  readonly holdsOlder: boolean;
  /** The frame table has just been proven: which of its frames lie in local packs? */
  readonly planLocal: (signal: AbortSignal) => Promise<LocalPlan>;
  /** Section `ids` must be here before that can be said. */
  readonly needsIds?: boolean;
  readonly step: (event: SwarmEvent) => void;
  /** Keeps track of work; what it throws is a fault of the version. */
  readonly run: (work: Promise<void>) => void;
  readonly signal: AbortSignal;
  readonly onProgress: () => void;
  readonly logger: Logger;
}

/**
 * Rows of a version that come without its swarm: pieces of the index that follow from an older one, then frames
 * of equal hash in local packs. Tells the machine what to expect, so that nobody claims it (rule 8).
 */
export class LocalRows {
  readonly #options: LocalRowsOptions;
  /** Waits for the hashes, then for `kept` and `map`. */
  #carryStage: "hashes" | "busy" | "kept" | "done" = "hashes";
  #framesTold = false;
  #isPlanned = false;
  /** What the swarm of the previous version may bring. */
  #donated: { readonly rows: Bitfield; readonly isSure: boolean };

  constructor(options: LocalRowsOptions) {
    this.#options = options;
    this.#donated = { rows: this.#noRows(), isSure: false };
    if (options.indexCarry === undefined) this.#carryStage = "done";
  }

  start(): void {
    const { indexCarry, holdsOlder, step } = this.#options;
    if (indexCarry !== undefined) step({ type: "local-plan", rows: indexCarry.heldBack });
    if (holdsOlder) step({ type: "beside", rows: this.allFrames(), isSure: true });
    else this.#isPlanned = true;
    this.advanced();
  }

  /** The rows of all frames. */
  allFrames(): Bitfield {
    const { pieceRows, rows } = this.#options.files.table.layout;
    const frames = new Bitfield(rows);
    frames.addRun({ first: pieceRows, count: rows - pieceRows });
    return frames;
  }

  /** Rows that the swarm of the previous version may bring; `isSure`: it will. */
  donate(rows: Bitfield, isSure: boolean): void {
    this.#donated = { rows, isSure };
    if (this.#isPlanned) this.#options.step({ type: "beside", rows, isSure });
  }

  /** Rows came: perhaps more of the index follows from them. */
  advanced(): void {
    const { indexCarry, files, run } = this.#options;
    if (indexCarry !== undefined && this.#carryStage === "hashes" && files.table.knowsPieces) {
      this.#carryStage = "busy";
      run(this.#carryFirst(indexCarry));
    } else if (indexCarry !== undefined && this.#carryStage === "kept" && indexCarry.isReady) {
      this.#carryStage = "busy";
      run(this.#carrySecond(indexCarry));
    }
    this.#tellFrames();
  }

  /** Pieces of equal hash; the others stay held back until `kept` and `map` have come. */
  async #carryFirst(carry: IndexCarry): Promise<void> {
    await this.#carryIndex(carry);
    this.#carryStage = "kept";
    if (!carry.isNext) this.#carryEnded();
    this.#cameSome();
  }

  async #carrySecond(carry: IndexCarry): Promise<void> {
    await this.#carryIndex(carry);
    this.#carryEnded();
    this.#cameSome();
  }

  #cameSome(): void {
    this.#options.onProgress();
    this.advanced();
  }

  /** Before any plan for frames: `local-done` ends all plans. */
  #carryEnded(): void {
    this.#options.step({ type: "local-done" });
    this.#carryStage = "done";
  }

  async #carryIndex(carry: IndexCarry): Promise<void> {
    try {
      const runs = await carry.run();
      if (runs.length > 0) this.#options.step({ type: "stored", runs, source: "local" });
    } catch (err) {
      if (!isAppError(err) || isLocalFault(err)) throw err;
      this.#options.logger.warn({ err }, "nothing taken from the older index");
    }
  }

  /** Once per swarm: sizes of all frames, what of them comes from local packs, and then those. */
  #tellFrames(): void {
    const { files, run } = this.#options;
    if (this.#framesTold || files.frames === undefined || this.#carryStage !== "done") return;
    if (this.#options.needsIds === true && !this.#holdsIds()) return;
    this.#framesTold = true;
    run(this.#takeLocal(files.frames.packedLengths()));
  }

  async #takeLocal(lengths: Uint32Array): Promise<void> {
    const { files, step, signal, onProgress } = this.#options;
    const plan = await this.#options.planLocal(signal);
    // Frames that lay here before the frame table was known: after a crash, or when the index was damaged.
    const held = [...files.have.runs(true, files.table.layout.pieceRows)];
    const local = plan.rows.clone();
    for (const run of held) local.addRun(run);
    const { wanted } = plan;
    step({ type: "frames", lengths, local, ...(wanted !== undefined && { wanted }) });
    if (held.length > 0) step({ type: "stored", runs: held, source: "local" });
    this.#isPlanned = true;
    step({ type: "beside", ...this.#donated });
    if (plan.rows.count === 0) {
      step({ type: "local-done" });
      return;
    }
    try {
      await plan.copy(signal, (runs) => {
        step({ type: "stored", runs, source: "local" });
        onProgress();
      });
    } finally {
      step({ type: "local-done" });
    }
  }

  #holdsIds(): boolean {
    const { table, have } = this.#options.files;
    const ids = table.layout.section("ids");
    return ids === undefined || have.hasAll(ids.first, ids.count);
  }

  #noRows(): Bitfield {
    return new Bitfield(this.#options.files.table.layout.rows);
  }
}
