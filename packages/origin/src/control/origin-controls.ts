import type { Clock, Logger, Metrics } from "@ckmesh/core";
import type { Catalogue, PublishedVersion } from "../catalogue/catalogue.js";
import type { AuditLog } from "../logs/audit-log.js";
import type { OpenFiles } from "../serve/open-files.js";
import type { ControlFiles } from "./control-answer.js";
import { type ControlChange, ControlRecords } from "./control-records.js";
import { ControlSerials } from "./control-serials.js";
import { type RolloutStatus, RolloutWatch } from "./rollout-watch.js";
import { describeControl } from "./served-control.js";

export interface OriginControlsOptions {
  readonly root: string;
  readonly stateDir: string;
  readonly publishers: () => readonly Uint8Array[];
  readonly catalogue: Catalogue;
  readonly openFiles: OpenFiles;
  readonly audit: Pick<AuditLog, "write">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The alias of an image moved. */
  readonly onAliasMoved: (to: PublishedVersion) => void;
}

/** Control records, how their rollouts go, and what is told of both. */
export class OriginControls implements ControlFiles {
  readonly records: ControlRecords;
  readonly rollouts: RolloutWatch;
  readonly #options: OriginControlsOptions;

  private constructor(options: OriginControlsOptions, serials: ControlSerials, rollouts: RolloutWatch) {
    this.#options = options;
    this.rollouts = rollouts;
    this.records = new ControlRecords({ ...options, serials, onChanged: (change) => this.#changed(change) });
  }

  static async open(options: OriginControlsOptions): Promise<OriginControls> {
    const { audit, clock, stateDir, logger } = options;
    let controls: OriginControls | undefined;
    const rollouts = await RolloutWatch.open({
      ...options,
      recordOf: (image) => controls?.of(image)?.signed.record,
      onHeld: (hold) => audit.write({ action: "hold", ...hold }, clock.wall()),
    });
    controls = new OriginControls(options, await ControlSerials.load(stateDir, logger), rollouts);
    return controls;
  }

  of(image: string): ReturnType<ControlRecords["of"]> {
    return this.records.of(image);
  }

  heldOf(image: string): readonly number[] {
    return this.rollouts.heldOf(image);
  }

  /** For the catalogue; undefined: there is no record. */
  describe(image: string): object | undefined {
    const control = this.of(image);
    return control === undefined
      ? undefined
      : { ...describeControl(control.signed.record), held: this.heldOf(image) };
  }

  status(): readonly RolloutStatus[] {
    return this.rollouts.status();
  }

  async close(): Promise<void> {
    await this.rollouts.close();
  }

  #changed({ image, control, source, isNew, aliasMovedTo }: ControlChange): void {
    const { audit, clock, onAliasMoved } = this.#options;
    this.rollouts.controlChanged(image);
    const record = control?.signed.record;
    const facts = {
      serial: record?.serial ?? null,
      withdrawn: record?.withdrawn.map(({ version }) => version) ?? [],
      rollouts: record?.rollouts ?? [],
    };
    if (isNew) audit.write({ action: "control", image, ...source, ...facts }, clock.wall());
    if (aliasMovedTo !== undefined) onAliasMoved(aliasMovedTo);
  }
}
