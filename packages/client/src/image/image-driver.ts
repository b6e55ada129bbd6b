import type { AppError, Logger } from "@ckmesh/core";
import { checkTrust } from "@ckmesh/image";
import type { ImageRecord } from "@ckmesh/store";
import { isAccessLost } from "../access-lost.js";
import { asAppError } from "../as-app-error.js";
import type { ClientContext } from "../client-context.js";
import { clearanceStatus } from "../rollout/clearance-status.js";
import { ImageControl } from "../rollout/image-control.js";
import type { StagedPair } from "../staging/staged-pair.js";
import type { ImageStatus, StatusError, VersionStatus } from "../status.js";
import type { VersionDriver } from "../version/version-driver.js";
import { EarlyCheck } from "./early-check.js";
import { findOffers } from "./find-offers.js";
import { checkVersionRule } from "./image-offer.js";
import { ImageState } from "./image-state.js";
import { ImageSteps } from "./image-steps.js";
import { ImageVersions } from "./image-versions.js";
import { notReleased, otherPublication, rollbackTarget, unknownVersion } from "./rollback-target.js";
import { Turns } from "./turns.js";
import { VersionChoice } from "./version-choice.js";

/** One image of this machine: its versions, which of them is fetched, and which is active. */
export class ImageDriver {
  readonly name: string;
  readonly #context: ClientContext;
  readonly #logger: Logger;
  readonly #versions: ImageVersions;
  readonly #abort = new AbortController();
  readonly #state: ImageState;
  readonly #control: ImageControl;
  readonly #choice: VersionChoice;
  #lastError: StatusError | undefined;
  #isBarred = false;
  /** One change of the image at a time. */
  readonly #turns = new Turns();
  readonly #steps: ImageSteps;
  readonly #early: EarlyCheck;

  private constructor(name: string, context: ClientContext, record: ImageRecord, control: ImageControl) {
    this.name = name;
    this.#context = context;
    this.#logger = context.logger.child({ image: name });
    this.#control = control;
    this.#versions = new ImageVersions({
      name,
      context,
      logger: this.#logger,
      older: (below) => this.#choice.bases(below),
      events: {
        verified: (driver) => this.#steps.inBackground(() => this.#steps.verified(driver)),
        stale: () => this.#early.stale(),
        newer: (version, peerId) => this.#early.heard(peerId, version, this.#newestHeard),
        fault: (version, err) => this.#steps.report(version, "failed", err.code),
        changed: () => {
          this.#state.saveSoon();
          context.changed();
        },
      },
    });
    this.#early = new EarlyCheck({
      context,
      logger: this.#logger,
      check: () => this.check(this.#abort.signal),
    });
    const versions = (): ImageVersions["records"] => this.#versions.records;
    this.#state = new ImageState({ ...context, name, logger: this.#logger, record, versions });
    this.#choice = new VersionChoice({
      name,
      versions: this.#versions.all,
      record: () => this.#state.record,
      control,
      settings: context.settings,
    });
    this.#steps = new ImageSteps({
      name,
      context,
      logger: this.#logger,
      versions: this.#versions,
      choice: this.#choice,
      control,
      state: this.#state,
      turns: this.#turns,
      onFault: ({ code, message }) => {
        this.#lastError = { code, message };
      },
    });
  }

  /** Opens what is in the store: complete versions serve at once, the newest partial one goes on. */
  static async open(name: string, context: ClientContext): Promise<ImageDriver> {
    const record = await context.store.loadRecord(name);
    const control = await ImageControl.open(name, context, context.logger.child({ image: name }));
    const driver = new ImageDriver(name, context, record, control);
    const { complete, partial } = await driver.#versions.open(record.versions, record.active);
    await driver.#steps.start(complete, partial);
    return driver;
  }

  get policy(): "auto" | "suggest" | "manual" {
    return this.#context.settings.policyOf(this.name);
  }

  /** The newest version known here that this machine may have. */
  get newest(): VersionDriver | undefined {
    return this.#choice.newest;
  }

  /** What the origin's alias stood for when it was asked last. */
  get aliasVersion(): number | undefined {
    return this.#record.alias?.version;
  }

  get lastError(): StatusError | undefined {
    return this.#lastError;
  }

  /** Nothing more will happen by itself: the newest version is where its policy lets it go, or has failed. */
  get isSettled(): boolean {
    const { newest } = this;
    if (newest === undefined) return true;
    return !this.isActivating && this.#choice.isSettled(newest);
  }

  /** A version is on its way from verified to active. */
  get isActivating(): boolean {
    return this.#steps.activations.driver !== undefined;
  }

  status(): ImageStatus {
    const { active } = this.#record;
    const control = this.#control.status();
    return {
      name: this.name,
      policy: this.policy,
      ...(active !== undefined && { active }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      ...(control !== undefined && { control }),
      versions: this.#choice.newestFirst().map((v) => this.#statusOf(v)),
    };
  }

  /**
   * Looks at the origin once: at what the publisher says of the versions, then at the alias.
   * @throws {AppError} as `OriginHttp.fetchHead`; ERR_INDEX_INVALID, ERR_SIGNATURE_INVALID, ERR_VERSION_REFUSED,
   *   ERR_CONTROL_INVALID
   */
  async check(signal: AbortSignal): Promise<void> {
    try {
      await this.#control.refresh(signal);
      this.#steps.activations.look();
      // Before anything else: a version is also withdrawn when the rest of the check fails.
      await this.#turns.take(() => this.#steps.obey());
      const { alias } = this.#record;
      const isKnown = alias !== undefined && this.#versions.all.has(alias.version);
      const offers = await findOffers({
        context: this.#context,
        image: this.name,
        alias: isKnown ? alias : undefined,
        lowest: this.#choice.rule().lowest,
        mayHave: (version) => this.#control.mayHave(version),
        isHere: (version) => this.#versions.all.has(version),
        signal,
      });
      await this.#turns.take(async () => {
        // In its turn: a version may have been verified while the head was on its way.
        await this.#readmit();
        for (const { signed } of offers) checkVersionRule(signed, this.#choice.rule());
        this.#lastError = undefined;
        for (const each of offers) await this.#steps.take(each);
        for (const driver of this.#drivers) await driver.lookAtStaging();
        // The hook may have changed its mind, or there may be room for the disk now, or a ring was opened.
        await this.#steps.advance();
      });
      void this.#context.outcomes.flush();
    } catch (err) {
      const failure = asAppError(err);
      if (failure.code === "ERR_VERSION_REFUSED") this.#logger.error({ err: failure }, "version refused");
      if (failure.code !== "ERR_ABORTED") this.#lastError = { code: failure.code, message: failure.message };
      if (isAccessLost(failure.code)) await this.bar(failure);
      throw failure;
    }
  }

  /**
   * Takes the version of a pair that somebody copied here.
   * @param isAsked a person wants it, whatever the policy; false: found in the pre-stage folder
   * @returns false when it is complete already
   * @throws {AppError} ERR_SIGNATURE_INVALID, ERR_VERSION_REFUSED
   */
  async takePair(pair: StagedPair, isAsked: boolean): Promise<boolean> {
    let isTaken = false;
    await this.#turns.take(async () => {
      const { signed, headBlock: block, isFramesIndex } = pair;
      const { version } = signed.head;
      const known = this.#versions.all.get(version);
      if (known !== undefined && known.signed.idHex !== signed.idHex) throw otherPublication(signed);
      if (known?.isComplete === true) return;
      checkTrust(signed, this.#context.trust);
      checkVersionRule(signed, this.#choice.rule());
      this.#requireRelease(version);
      isTaken = true;
      const offer = { signed, block, isFramesIndex, isCopy: true };
      if (!isAsked) {
        await this.#steps.take(offer);
        await known?.lookAtStaging();
        return;
      }
      const driver = await this.#versions.of(offer);
      const { heldBack: _, ...rest } = this.#record;
      await this.#state.save({ ...rest, accepted: version });
      if (driver === this.newest) await this.#versions.pauseOthers(driver);
      await driver.import(pair);
    });
    return isTaken;
  }

  /** Lets a version that waits for it be fetched and become active; absent: the newest one. */
  async accept(version?: number): Promise<void> {
    const accepted = await this.#turns.take(async () => {
      const driver = version === undefined ? this.newest : this.#versions.all.get(version);
      if (driver === undefined) throw unknownVersion(this.name, version);
      this.#requireRelease(driver.version);
      const { heldBack: _, ...rest } = this.#record;
      await this.#state.save({ ...rest, accepted: driver.version });
      if (driver.isComplete) return this.#steps.activate(driver, true);
      await this.#steps.fetch(driver);
      return undefined;
    });
    await accepted?.done;
  }

  /** Makes an older complete version the active one; absent: the one before the active. */
  async rollback(version?: number): Promise<void> {
    if (this.#steps.activations.driver?.version !== version)
      this.#steps.activations.stop("another version was asked for");
    const begun = await this.#turns.take(async () => {
      const target = rollbackTarget(
        this.#drivers.filter((v) => v.isComplete).map((v) => v.version),
        this.#record.active,
        version,
        (each) => this.#control.isWithdrawn(each),
      );
      const driver = target === undefined ? undefined : this.#versions.all.get(target);
      if (driver === undefined) throw unknownVersion(this.name, version);
      if (!this.#choice.mayActivate(driver)) this.#requireRelease(driver.version);
      const left = this.#record.active;
      const heldBack = Math.max(...this.#versions.all.keys());
      await this.#state.save({ ...this.#record, heldBack });
      return { left, version: driver.version, activating: this.#steps.activate(driver, true) };
    });
    await begun.activating?.done;
    const { active } = this.#record;
    if (begun.left !== undefined && active === begun.version && active < begun.left)
      this.#steps.report(begun.left, "failed", "ROLLED_BACK");
  }

  /** The origin refuses the image: no peer gets it from here or gives it, until a check finds it readable again. */
  async bar(reason: AppError): Promise<void> {
    // It waits for no disk. Once: a person may have asked for one since.
    if (!this.#isBarred) this.#steps.activations.stop("the origin refuses the image");
    await this.#turns.take(async () => {
      this.#lastError = { code: reason.code, message: reason.message };
      if (!this.#isBarred)
        this.#logger.warn({ code: reason.code }, "image not shared: the origin refuses it");
      this.#isBarred = true;
      for (const driver of this.#drivers) await driver.admit(false);
    });
  }

  /** Stops everything; the state is saved. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#state.stop();
    this.#early.stop();
    this.#steps.stop();
    await this.#versions.close();
    await this.#steps.activations.close();
    await this.#turns.ended();
    await this.#state.close();
  }

  get #drivers(): readonly VersionDriver[] {
    return [...this.#versions.all.values()];
  }

  /** The newest version that the origin was seen to have, whether this machine may have it or not. */
  get #newestHeard(): number {
    return Math.max(0, this.aliasVersion ?? 0, ...this.#versions.all.keys());
  }

  get #record(): ImageRecord {
    return this.#state.record;
  }

  #statusOf(driver: VersionDriver): VersionStatus {
    const clearance = clearanceStatus(this.#control.clearanceOf(driver.version));
    return { ...driver.status(), ...(clearance !== undefined && { clearance }) };
  }

  /** @throws {AppError} ERR_VERSION_REFUSED */
  #requireRelease(version: number): void {
    const refused = notReleased(this.name, version, this.#control.clearanceOf(version));
    if (refused !== undefined) throw refused;
  }

  /** The origin gives the image out again. */
  async #readmit(): Promise<void> {
    if (!this.#isBarred) return;
    this.#isBarred = false;
    this.#logger.info({}, "image is shared again");
    for (const driver of this.#drivers) await driver.admit(true);
    await this.#steps.start(
      this.#drivers.filter((driver) => driver.isComplete),
      this.#drivers.filter(
        ({ state, isComplete }) => !isComplete && (state === "fetching" || state === "active"),
      ),
    );
  }
}
