import type { AppError, Logger } from "@ckmesh/core";
import type { ImageRecord, VersionState } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import type { ClientContext } from "../client-context.js";
import { ActivationAlarm } from "../rollout/activation-alarm.js";
import type { ImageControl } from "../rollout/image-control.js";
import type { OutcomeNews } from "../rollout/outcome-reporter.js";
import type { VersionDriver } from "../version/version-driver.js";
import { type Activating, Activations } from "./activations.js";
import type { Offer } from "./image-offer.js";
import type { ImageState } from "./image-state.js";
import type { ImageVersions } from "./image-versions.js";
import type { Turns } from "./turns.js";
import { isDamaged, type VersionChoice } from "./version-choice.js";

const UNFINISHED: ReadonlySet<VersionState> = new Set(["available", "proposed", "fetching"]);
const WAS_IN_USE: ReadonlySet<VersionState> = new Set(["active", "superseded"]);

export interface ImageStepsOptions {
  readonly name: string;
  readonly context: ClientContext;
  readonly logger: Logger;
  readonly versions: ImageVersions;
  readonly choice: VersionChoice;
  readonly control: ImageControl;
  readonly state: ImageState;
  readonly turns: Turns;
  /** Something that was to happen by itself did not. */
  readonly onFault: (err: AppError) => void;
}

/**
 * How the versions of an image go on: fetched, verified, made active, removed, as far as their publisher, the policy
 * and what is here let them. All but `inBackground` and `report` is called in a turn.
 */
export class ImageSteps {
  readonly activations: Activations;
  readonly #name: string;
  readonly #context: ClientContext;
  readonly #logger: Logger;
  readonly #versions: ImageVersions;
  readonly #choice: VersionChoice;
  readonly #control: ImageControl;
  readonly #state: ImageState;
  readonly #turns: Turns;
  readonly #onFault: (err: AppError) => void;
  readonly #alarm: ActivationAlarm;
  #isClosed = false;

  constructor(options: ImageStepsOptions) {
    this.#name = options.name;
    this.#context = options.context;
    this.#logger = options.logger;
    this.#versions = options.versions;
    this.#choice = options.choice;
    this.#control = options.control;
    this.#state = options.state;
    this.#turns = options.turns;
    this.#onFault = options.onFault;
    this.#alarm = new ActivationAlarm(this.#context.clock, () => this.inBackground(() => this.advance()));
    this.activations = new Activations({
      ...options,
      record: () => this.#record,
      save: (changed) => this.#save(changed),
      events: {
        active: ({ version }) => this.report(version, "active"),
        failed: ({ version }, { code }) => this.report(version, "failed", code),
        tidy: () => this.#tidy(),
        ended: (driver) => this.#activated(driver),
      },
    });
  }

  /** Nothing begins by itself any more. */
  stop(): void {
    this.#isClosed = true;
    this.#alarm.stop();
  }

  /** Does what the control record wants done with versions that are here already. */
  async obey(): Promise<void> {
    for (const driver of this.#drivers) {
      if (driver.state !== "fetching" || driver.isComplete || this.#control.mayHave(driver.version)) continue;
      this.#logger.info(
        { version: driver.version },
        "version is fetched no further: its publisher holds it back",
      );
      await this.#versions.pause(driver);
      driver.setState("available");
    }
    if (!this.#choice.isActiveWithdrawn) return;
    const good = this.#choice.newestGood;
    this.#logger.warn(
      { version: this.#record.active, backTo: good?.version },
      "active version was withdrawn by its publisher",
    );
    if (good !== undefined) this.activate(good, true);
  }

  /** Goes on with the newest version as far as it may now. */
  async advance(): Promise<void> {
    const { newest } = this.#choice;
    if (newest !== undefined && this.#choice.isWanted(newest)) {
      if (newest.state === "staged" || newest.state === "verified") this.activate(newest, false);
      else if (newest.state === "available" || newest.state === "proposed") await this.fetch(newest);
    }
    this.#wakeInTime();
  }

  /** Tells the origin how a version goes that is rolled out. */
  report(version: number, outcome: OutcomeNews["outcome"], code?: string): void {
    if (!this.#control.isRolledOut(version)) return;
    this.#context.outcomes.report({
      image: this.#name,
      version,
      outcome,
      ...(code !== undefined && { code }),
    });
  }

  /** Complete versions serve, the newest of the others goes on if it is wanted. */
  async start(complete: readonly VersionDriver[], partial: readonly VersionDriver[]): Promise<void> {
    const { newest } = this.#choice;
    if (this.#context.settings.seedPacks) {
      for (const driver of this.#drivers.filter(({ isShed }) => isShed)) {
        await this.#versions.regain(driver);
        await driver.start();
      }
    }
    const next = partial.find((driver) => driver === newest && this.#choice.isWanted(driver));
    for (const driver of partial)
      if (driver !== next && WAS_IN_USE.has(driver.state)) await this.#versions.openSource(driver);
    // Complete ones are sources for the partial one, which may have to wait for the network.
    for (const driver of complete) await driver.start();
    if (next !== undefined) this.inBackground(() => this.fetch(next));
    else for (const driver of partial) if (driver.state === "active") await driver.start();
  }

  /** A version that the origin has, or that somebody copied here; its trust and its number were checked. */
  async take(offer: Offer): Promise<void> {
    const { version } = offer.signed.head;
    const driver = await this.#versions.of(offer);
    if (offer.etag !== undefined) await this.#save({ ...this.#record, alias: { etag: offer.etag, version } });
    if (driver.isComplete || driver.state === "fetching") return;
    if (this.#choice.isWanted(driver) && this.#control.mayHave(version)) await this.fetch(driver);
    else if (driver.state !== "active") driver.setState(this.#isSuggested ? "proposed" : "available");
  }

  /** Others that are still being fetched give way to it. */
  async fetch(driver: VersionDriver): Promise<void> {
    await this.#versions.pauseOthers(driver);
    await this.#versions.regain(this.#choice.newestShed(driver.version));
    for (const other of this.#drivers)
      if (other.version < driver.version && isDamaged(other)) await other.mendIndex();
    await driver.start();
  }

  /** All of it is here and proven, or all that its disk needs. */
  async verified(driver: VersionDriver): Promise<void> {
    const { highest } = this.#record;
    if (highest === undefined || driver.version > highest.version) {
      await this.#save({ ...this.#record, highest: { version: driver.version, id: driver.signed.idHex } });
    }
    for (const other of this.#drivers) {
      if (UNFINISHED.has(other.state) && other.version < driver.version) await this.#drop(other);
    }
    if (driver.state === "verified") this.report(driver.version, "verified");
    if (driver.state === "verified" || driver.state === "staged") this.activate(driver, false);
    else if (driver.state === "active" && this.#choice.lacksDisk(driver)) this.activate(driver, true);
    else await this.#prune();
  }

  /** The turn does not wait for it. As far as publisher and policy let it. @returns undefined: not now */
  activate(driver: VersionDriver, isAsked: boolean): Activating | undefined {
    if (this.#choice.isEnd(driver) && !isAsked) return undefined;
    if (this.#choice.mayActivate(driver)) return this.activations.begin(driver, isAsked);
    this.#wakeInTime();
    return undefined;
  }

  #wakeInTime(): void {
    if (this.#isClosed) return;
    const { newest } = this.#choice;
    this.#alarm.set(newest === undefined ? undefined : this.#control.clearanceOf(newest.version));
  }

  /** An activation has ended: a newer version may have waited for it. */
  #activated(driver: VersionDriver): void {
    this.#context.changed();
    if (this.#isClosed || this.#choice.newest === driver) return;
    this.inBackground(() => this.advance());
  }

  /** The active version has changed. */
  async #tidy(): Promise<void> {
    await this.#prune();
    if (this.#context.settings.seedPacks) return;
    // A version that is fetched takes frames from older packs: they go when it is active.
    if (!this.#drivers.some((other) => other.state === "fetching" && !other.isComplete))
      await this.#versions.shed(() => this.#save(this.#record));
  }

  async #prune(): Promise<void> {
    for (const driver of this.#choice.removable()) {
      if (driver === this.activations.driver) continue;
      this.#logger.info({ version: driver.version }, "old version removed");
      await this.#drop(driver);
    }
  }

  async #drop(driver: VersionDriver): Promise<void> {
    if (driver.version === this.#record.active) throw new Error("unreachable: the active version is kept");
    await this.#versions.drop(driver);
  }

  /** In a turn, when its time has come. */
  inBackground(work: () => Promise<void>): void {
    this.#turns.take(work).catch((err: unknown) => {
      const failure = asAppError(err);
      this.#logger.error({ err: failure }, "image not advanced");
      this.#onFault(failure);
    });
  }

  async #save(record: ImageRecord): Promise<void> {
    await this.#state.save(record);
  }

  /** A person is to see a version before it is fetched. */
  get #isSuggested(): boolean {
    return this.#context.settings.policyOf(this.#name) === "suggest";
  }

  get #drivers(): readonly VersionDriver[] {
    return [...this.#versions.all.values()];
  }

  get #record(): ImageRecord {
    return this.#state.record;
  }
}
