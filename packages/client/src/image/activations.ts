import { type AppError, isAppError, type Logger } from "@ckmesh/core";
import type { ImageRecord } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import type { ClientContext } from "../client-context.js";
import { stageVersion } from "../disk/activation.js";
import type { ImageControl } from "../rollout/image-control.js";
import type { VersionDriver } from "../version/version-driver.js";
import { orderOf } from "./activation-order.js";
import { ActivationWatch } from "./activation-watch.js";
import type { ImageVersions } from "./image-versions.js";
import { changedDisk } from "./rollback-target.js";
import type { Turns } from "./turns.js";
import type { VersionChoice } from "./version-choice.js";

/** What an image does about the versions that become active. */
interface ActivationEvents {
  /** A version that was not the active one is: saved, and nobody has seen two. */
  active(driver: VersionDriver): void;
  failed(driver: VersionDriver, err: AppError): void;
  /** In a turn: old versions may go, and packs that are not kept. */
  tidy(): Promise<void>;
  /** It is active, or stopped, or not to be: the next one may go. */
  ended(driver: VersionDriver): void;
}

export interface ActivationsOptions {
  readonly name: string;
  readonly context: Pick<ClientContext, "clock" | "store" | "settings">;
  readonly logger: Logger;
  readonly control: ImageControl;
  readonly choice: VersionChoice;
  readonly versions: ImageVersions;
  readonly turns: Turns;
  readonly record: () => ImageRecord;
  readonly save: (record: ImageRecord) => Promise<void>;
  readonly events: ActivationEvents;
}

/** A version that is on its way to being active. */
export interface Activating {
  /** Fulfilled when it is active or will not be; never rejected. */
  readonly done: Promise<void>;
}

/**
 * How the versions of an image become active, one at a time: verified → staged → active, as far as the disk and the
 * hook let them. The disk is rebuilt and the hook asked beside the turns of the image, as that may take hours: newer
 * versions are fetched meanwhile, and orders are followed. Only the change itself has a turn, and whoever has stopped
 * it before that has the last word.
 */
export class Activations {
  readonly #options: ActivationsOptions;
  readonly #watch: ActivationWatch;
  readonly #abort = new AbortController();
  readonly #runs = new Set<Promise<void>>();
  #current: Activating | undefined;
  /** The long part of the one before has ended. */
  #staged: Promise<unknown> = Promise.resolve();

  constructor(options: ActivationsOptions) {
    this.#options = options;
    const { context, logger, control, choice } = options;
    this.#watch = new ActivationWatch({ clock: context.clock, logger, control, choice });
  }

  /** The one that is on its way. */
  get driver(): VersionDriver | undefined {
    return this.#watch.driver;
  }

  /** What the publisher says may have changed. */
  look(): void {
    this.#watch.look();
  }

  /** Neither the one that is on its way nor its last step that waits for a turn happens any more. */
  stop(reason: string): void {
    this.#watch.stop(reason);
  }

  /** In a turn, which does not wait for it. @returns undefined: not now */
  begin(driver: VersionDriver, isAsked: boolean): Activating | undefined {
    if (this.#abort.signal.aborted) return undefined;
    const { driver: current, isStopped } = this.#watch;
    switch (
      orderOf(current && { version: current.version, isStopped }, { version: driver.version, isAsked })
    ) {
      case "join":
        return this.#current;
      case "wait":
        return undefined;
      case "begin":
        this.#watch.stop("another version was asked for");
        return this.#begin(driver);
    }
  }

  /** Stops; what waits for a turn ends without one. */
  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#runs);
    await this.#watch.close();
  }

  #begin(driver: VersionDriver): Activating {
    const ended = this.#watch.begin(driver);
    const signal = AbortSignal.any([this.#abort.signal, ended]);
    driver.setError(undefined);
    const staged = this.#staged.then(() => this.#stage(driver, signal));
    this.#staged = staged.catch(() => {}); // `#run` tells
    const done = this.#run(driver, staged, signal).finally(() => {
      this.#runs.delete(done);
      this.#watch.end(ended);
      this.#options.events.ended(driver);
    });
    this.#runs.add(done);
    this.#current = { done };
    return this.#current;
  }

  /** @returns the file name of its disk, if it has one; undefined: it is not to be active now */
  async #stage(
    driver: VersionDriver,
    signal: AbortSignal,
  ): Promise<{ readonly disk: string | undefined } | undefined> {
    const { name, context, logger, versions } = this.#options;
    const { store, settings } = context;
    if (signal.aborted) return undefined;
    await driver.regain(signal);
    if (driver.files === undefined) return undefined;
    if (!driver.isComplete) throw changedDisk(name, driver.version);
    const options = { signal, logger, versions: versions.all.values() };
    const staged = await stageVersion(driver, driver.files, store, settings, options);
    return staged === false ? undefined : staged;
  }

  async #run(
    driver: VersionDriver,
    staging: Promise<{ readonly disk: string | undefined } | undefined>,
    signal: AbortSignal,
  ): Promise<void> {
    const { turns, choice, logger, events } = this.#options;
    try {
      const staged = await staging;
      if (staged !== undefined) await turns.take(() => this.#change(driver, staged.disk, signal));
    } catch (err) {
      if (isAppError(err, "ERR_ABORTED")) return;
      const failure = asAppError(err);
      logger.error({ err: failure, version: driver.version }, "version not activated");
      driver.setError(failure);
      events.failed(driver, failure);
    } finally {
      if (driver.state === "staged" && !choice.mayGoOn(driver)) driver.setState("verified");
    }
  }

  /** In a turn. */
  async #change(driver: VersionDriver, disk: string | undefined, signal: AbortSignal): Promise<void> {
    const { name, context, control, choice, versions, record, save, events } = this.#options;
    // Somebody may have spoken meanwhile, or the version is another publication by now.
    if (signal.aborted || !choice.mayGoOn(driver) || versions.all.get(driver.version) !== driver) return;
    await context.store.setActive(name, driver.version, disk);
    const { active } = record();
    const before = active === undefined ? undefined : versions.all.get(active);
    // States and active version change at once: nobody sees two active ones, however long saving takes.
    const saved = save({ ...record(), active: driver.version });
    // One that was withdrawn may be good again one day: then it is not a version of the past.
    if (before !== undefined && before !== driver)
      before.setState(control.isWithdrawn(before.version) ? "verified" : "superseded");
    driver.setState("active", disk);
    driver.setError(undefined);
    await saved;
    if (before !== driver) events.active(driver);
    await events.tidy();
  }
}
