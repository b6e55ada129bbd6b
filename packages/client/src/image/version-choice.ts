import type { ImageRecord, VersionFiles } from "@ckmesh/store";
import type { ImageSettings } from "../client-context.js";
import type { ImageControl } from "../rollout/image-control.js";
import type { VersionDriver } from "../version/version-driver.js";
import type { VersionRule } from "./image-offer.js";

export interface VersionChoiceOptions {
  readonly name: string;
  readonly versions: ReadonlyMap<number, VersionDriver>;
  readonly record: () => ImageRecord;
  readonly control: ImageControl;
  readonly settings: ImageSettings;
}

/** Which of the versions of an image are wanted, and how far: by its publisher, the policy and what happened here. */
export class VersionChoice {
  readonly #options: VersionChoiceOptions;

  constructor(options: VersionChoiceOptions) {
    this.#options = options;
  }

  newestFirst(): readonly VersionDriver[] {
    return [...this.#options.versions.values()].toSorted((a, b) => b.version - a.version);
  }

  /** The newest version known here that this machine may have. */
  get newest(): VersionDriver | undefined {
    return this.newestFirst().find(({ version }) => this.#options.control.mayHave(version));
  }

  get isActiveWithdrawn(): boolean {
    const { active } = this.#record;
    return active !== undefined && this.#options.control.isWithdrawn(active);
  }

  /** Where to go back to without fetching anything. */
  get newestGood(): VersionDriver | undefined {
    const { control } = this.#options;
    return this.newestFirst().find(
      (driver) => driver.isComplete && !control.isWithdrawn(driver.version) && this.mayActivate(driver),
    );
  }

  /**
   * Versions below that one to start an update from: those of which everything is here, newest first, then those that
   * were in use and lack frames since the disk has lost some.
   */
  bases(below: number): readonly VersionFiles[] {
    const older = this.newestFirst().filter(({ version }) => version < below);
    return [...older.filter((v) => v.isComplete), ...older.filter(isDamaged)].flatMap(({ files }) =>
      files?.frames === undefined ? [] : [files],
    );
  }

  /** The newest version below that has its disk only, unless a newer one has its pack. */
  newestShed(below: number): VersionDriver | undefined {
    const newest = this.newestFirst().find((driver) => driver.isComplete && driver.version < below);
    return newest?.isShed === true ? newest : undefined;
  }

  /** Its publisher lets this machine make it active now. A rollout delays nobody who had it once. */
  mayActivate({ version, state }: VersionDriver): boolean {
    switch (this.#options.control.clearanceOf(version).type) {
      case "free":
        return true;
      case "prefetch":
      case "wait":
        return state === "active" || state === "superseded";
      case "withdrawn":
        return state === "active";
    }
  }

  /** It may go on becoming active: the publisher has not taken it back while there is a good one here. */
  mayGoOn(driver: VersionDriver): boolean {
    const isTakenBack = this.#options.control.isWithdrawn(driver.version) && this.newestGood !== undefined;
    return this.mayActivate(driver) && !isTakenBack;
  }

  isWanted({ version }: VersionDriver): boolean {
    const { accepted, active } = this.#record;
    // Going back to an older one is no update, which a person may want to see first.
    const isWayBack = active !== undefined && version < active && this.isActiveWithdrawn;
    const { name, settings } = this.#options;
    return settings.policyOf(name) === "auto" || accepted === version || active === version || isWayBack;
  }

  /** True if this version stays as it is: an opaque pack, or held back by a rollback. */
  isEnd(driver: VersionDriver): boolean {
    const { heldBack, active } = this.#record;
    if (driver.signed.head.disk === undefined) return true;
    return (
      (heldBack !== undefined && driver.version <= heldBack) ||
      (active !== undefined && driver.version < active && !this.isActiveWithdrawn)
    );
  }

  /** A disk is wanted and not there: rebuilding was switched on after the version became active. */
  lacksDisk(driver: VersionDriver): boolean {
    const isWanted = this.#options.settings.materialize !== "off" && driver.signed.head.disk !== undefined;
    return isWanted && driver.disk === undefined;
  }

  /** Nothing more happens to it by itself: it is where policy and publisher let it go, or has failed. */
  isSettled(driver: VersionDriver): boolean {
    const { state } = driver;
    if (state === "active")
      return driver.error !== undefined || (driver.isComplete && !this.lacksDisk(driver));
    if (driver.isFailed || state === "staged" || state === "superseded") return true;
    if (driver.isComplete) return this.isEnd(driver) || !this.mayActivate(driver);
    return (state === "available" || state === "proposed") && !this.isWanted(driver);
  }

  /** All but the active version, newer ones, and so many older ones that are good. */
  removable(): readonly VersionDriver[] {
    const { active } = this.#record;
    if (active === undefined) return [];
    const { control, settings } = this.#options;
    const older = this.newestFirst().filter(
      (v) => (v.isComplete || (v.state === "superseded" && isDamaged(v))) && v.version < active,
    );
    const good = older.filter((v) => v.isComplete && !control.isWithdrawn(v.version));
    const kept = new Set(good.slice(0, settings.keep));
    return older.filter((v) => !kept.has(v));
  }

  /** What an offer of the origin is held against. */
  rule(): VersionRule {
    const { highest } = this.#record;
    const complete = this.newestFirst().filter((v) => v.isComplete);
    const verified = new Map(complete.map((v) => [v.version, v.signed.idHex]));
    if (highest !== undefined) verified.set(highest.version, highest.id);
    return { lowest: this.#options.control.lowest(highest?.version, [...verified.keys()]), verified };
  }

  get #record(): ImageRecord {
    return this.#options.record();
  }
}

/** It was in use and is not complete, and not for want of being opened: the disk has lost some of it. */
export function isDamaged(driver: VersionDriver): boolean {
  const wasInUse = driver.state === "active" || driver.state === "superseded";
  return wasInUse && driver.files !== undefined && !driver.isComplete;
}
