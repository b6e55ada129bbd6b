import type { Clock, Logger, Metrics } from "@ckmesh/core";
import type { AuditLog } from "../audit-log.js";
import type { Catalogue, PublishedDelta } from "../catalogue.js";
import type { FolderScan } from "../folder-scan.js";
import type { OpenFiles } from "../open-files.js";
import { DeltaGate } from "./delta-gate.js";
import { runDeltaJob } from "./delta-process.js";
import { DeltaRecords } from "./delta-records.js";

export interface OriginDeltasOptions {
  readonly root: string;
  readonly stateDir: string;
  readonly settleMs: number;
  readonly publishers: () => readonly Uint8Array[];
  readonly catalogue: Catalogue;
  readonly openFiles: Pick<OpenFiles, "evict">;
  readonly audit: Pick<AuditLog, "write">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** All that an origin does with deltas. */
export class OriginDeltas {
  readonly #gate: DeltaGate;

  private constructor(gate: DeltaGate) {
    this.#gate = gate;
  }

  static async open(options: OriginDeltasOptions): Promise<OriginDeltas> {
    const { root, settleMs, publishers, catalogue, stateDir, clock, logger } = options;
    const { openFiles, audit, metrics } = options;
    const records = await DeltaRecords.load(stateDir, logger);
    const served = metrics.gauge("ckmesh_origin_deltas", "Served deltas");
    const gate = new DeltaGate({
      root,
      settleMs,
      publishers,
      catalogue,
      records,
      verify: async (indexPath, signal) =>
        (await runDeltaJob("verify", { indexPath }, signal)).string("id", 64),
      clock,
      logger,
      onServed: (delta, { isNew }) => {
        served.set(catalogue.deltaCount);
        if (isNew) audit.write({ action: "serve-delta", ...auditFacts(delta) }, clock.wall());
      },
      onGone: (delta) => {
        served.set(catalogue.deltaCount);
        for (const file of [delta.pack, delta.index]) openFiles.evict(file);
        audit.write({ action: "unserve-delta", ...auditFacts(delta) }, clock.wall());
      },
    });
    return new OriginDeltas(gate);
  }

  /** Takes the deltas that the folder has now. */
  look(deltas: FolderScan["deltas"]): void {
    this.#gate.look(deltas);
  }

  /** The versions of the folder are published. */
  start(): void {
    this.#gate.lookAgain();
  }

  /** What is said of refused and waiting deltas, as of versions. */
  status(): ReturnType<DeltaGate["status"]> {
    return this.#gate.status();
  }

  /** After the publishers changed. */
  retryRefused(): void {
    this.#gate.retryRefused();
  }

  async close(): Promise<void> {
    await this.#gate.close();
  }
}

function auditFacts({ name, version, from, id }: PublishedDelta) {
  return { image: name, version, from, id } as const;
}
