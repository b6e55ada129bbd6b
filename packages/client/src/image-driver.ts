import { join } from "node:path";
import type { AppError, Logger } from "@ckmesh/core";
import { checkTrust, decodeHead, type SignedHead } from "@ckmesh/image";
import {
  type ImageRecord,
  NO_WASTE,
  type VersionFiles,
  type VersionRecord,
  type VersionState,
} from "@ckmesh/store";
import { isAccessLost } from "./access-lost.js";
import { rebuildDisk } from "./activation.js";
import { asAppError } from "./as-app-error.js";
import type { ClientContext } from "./client-context.js";
import { askConsent } from "./consent-hook.js";
import { checkVersionRule, fetchOffer, type Offer } from "./image-offer.js";
import { rollbackTarget, unknownVersion } from "./rollback-target.js";
import type { ImageStatus, StatusError } from "./status.js";
import { VersionDriver } from "./version-driver.js";

/** Changes of counters are saved at most this often. */
const SAVE_MS = 2000;
/** When the origin's files turn out to be others, its head is looked at after this, up to twice as long. */
const STALE_CHECK_MS = 2000;

const UNFINISHED: ReadonlySet<VersionState> = new Set(["available", "proposed", "fetching"]);

/** One image of this machine: its versions, which of them is fetched, and which is active. */
export class ImageDriver {
  readonly name: string;
  readonly #context: ClientContext;
  readonly #logger: Logger;
  readonly #versions = new Map<number, VersionDriver>();
  readonly #abort = new AbortController();
  #record: ImageRecord;
  #lastError: StatusError | undefined;
  #isBarred = false;
  #busy: Promise<void> = Promise.resolve();
  /** On its way from verified to active: `staged` on the way is no end. */
  #activating: VersionDriver | undefined;
  #saving: Promise<void> = Promise.resolve();
  #cancelCheck: (() => void) | undefined;
  #cancelSave: (() => void) | undefined;

  private constructor(name: string, context: ClientContext, record: ImageRecord) {
    this.name = name;
    this.#context = context;
    this.#logger = context.logger.child({ image: name });
    this.#record = record;
  }

  /** Opens what is in the store: complete versions serve at once, the newest partial one goes on. */
  static async open(name: string, context: ClientContext): Promise<ImageDriver> {
    const driver = new ImageDriver(name, context, await context.store.loadRecord(name));
    await driver.#openStored();
    return driver;
  }

  get policy(): "auto" | "suggest" | "manual" {
    return this.#context.settings.policyOf(this.name);
  }

  /** The newest version known here. */
  get newest(): VersionDriver | undefined {
    return [...this.#versions.values()].toSorted((a, b) => b.version - a.version)[0];
  }

  get lastError(): StatusError | undefined {
    return this.#lastError;
  }

  /** Nothing more will happen by itself: the newest version is where its policy lets it go, or has failed. */
  get isSettled(): boolean {
    const { newest } = this;
    if (newest === undefined) return true;
    if (this.#activating === newest) return false;
    if (newest.state === "active") return newest.error !== undefined || !this.#lacksDisk(newest);
    if (newest.isFailed || newest.state === "staged") return true;
    if (newest.isComplete) return this.#isEnd(newest);
    return (newest.state === "available" || newest.state === "proposed") && !this.#isWanted(newest.version);
  }

  status(): ImageStatus {
    const { active } = this.#record;
    return {
      name: this.name,
      policy: this.policy,
      ...(active !== undefined && { active }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      versions: [...this.#versions.values()].toSorted((a, b) => b.version - a.version).map((v) => v.status()),
    };
  }

  /**
   * Looks at the origin's alias once.
   * @throws {AppError} as `OriginHttp.fetchHead`; ERR_INDEX_INVALID, ERR_SIGNATURE_INVALID, ERR_VERSION_REFUSED
   */
  async check(signal: AbortSignal): Promise<void> {
    try {
      const { alias } = this.#record;
      const isKnown = alias !== undefined && this.#versions.has(alias.version);
      const { clock, wan } = this.#context;
      const askedAt = clock.now();
      const offer = await fetchOffer(
        this.#context.origin,
        this.name,
        isKnown ? alias.etag : undefined,
        signal,
      );
      wan.pacer.sawDelay(clock.now() - askedAt, clock.now());
      if (offer !== undefined) checkTrust(offer.signed, this.#context.trust);
      await this.#exclusive(async () => {
        // In its turn: a version may have been verified while the head was on its way.
        await this.#readmit();
        if (offer !== undefined) checkVersionRule(offer.signed, this.#record.highest);
        this.#lastError = undefined;
        if (offer !== undefined) await this.#take(offer);
        // The hook may have changed its mind, or there may be room for the disk now.
        const { newest } = this;
        if (newest === undefined || !this.#isWanted(newest.version)) return;
        if (newest.state === "staged" || newest.state === "verified") await this.#activate(newest, false);
      });
    } catch (err) {
      const failure = asAppError(err);
      if (failure.code === "ERR_VERSION_REFUSED") this.#logger.error({ err: failure }, "version refused");
      if (failure.code !== "ERR_ABORTED") this.#lastError = { code: failure.code, message: failure.message };
      if (isAccessLost(failure.code)) await this.bar(failure);
      throw failure;
    }
  }

  /** Lets a version that waits for it be fetched and become active; absent: the newest one. */
  async accept(version?: number): Promise<void> {
    await this.#exclusive(async () => {
      const driver = version === undefined ? this.newest : this.#versions.get(version);
      if (driver === undefined) throw unknownVersion(this.name, version);
      const { heldBack: _, ...rest } = this.#record;
      await this.#save({ ...rest, accepted: driver.version });
      if (driver.isComplete) await this.#activate(driver, true);
      else await this.#fetch(driver);
    });
  }

  /** Makes an older complete version the active one; absent: the one before the active. */
  async rollback(version?: number): Promise<void> {
    await this.#exclusive(async () => {
      const target = rollbackTarget(
        [...this.#versions.values()].filter((v) => v.isComplete).map((v) => v.version),
        this.#record.active,
        version,
      );
      const driver = target === undefined ? undefined : this.#versions.get(target);
      if (driver === undefined) throw unknownVersion(this.name, version);
      const heldBack = Math.max(...this.#versions.keys());
      await this.#save({ ...this.#record, heldBack });
      await this.#activate(driver, true);
    });
  }

  /** The origin refuses the image: no peer gets it from here or gives it, until a check finds it readable again. */
  async bar(reason: AppError): Promise<void> {
    await this.#exclusive(async () => {
      this.#lastError = { code: reason.code, message: reason.message };
      if (!this.#isBarred)
        this.#logger.warn({ code: reason.code }, "image not shared: the origin refuses it");
      this.#isBarred = true;
      for (const driver of this.#versions.values()) await driver.admit(false);
    });
  }

  /** Stops everything; the state is saved. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#cancelSave?.();
    this.#cancelCheck?.();
    this.#cancelSave = undefined;
    await Promise.all([...this.#versions.values()].map((v) => v.close()));
    await this.#busy;
    await this.#saveNow();
  }

  async #openStored(): Promise<void> {
    const stored = await this.#context.store.versions(this.name);
    for (const { version, headBlock, isComplete } of stored) {
      const signed = decodeHead(headBlock);
      const known = this.#record.versions.find((v) => v.version === version && v.id === signed.idHex);
      const record = known ?? newRecord(signed, isComplete ? "verified" : "fetching", false);
      this.#add(record, headBlock, undefined);
    }
    const isStored = (driver: VersionDriver, isComplete: boolean): boolean =>
      stored.some((s) => s.version === driver.version && s.isComplete === isComplete);
    await this.#startVersions(
      (driver) => isStored(driver, true),
      (driver) => isStored(driver, false),
    );
  }

  /** Complete versions serve, the newest of the others goes on if it is wanted. */
  async #startVersions(
    isComplete: (driver: VersionDriver) => boolean,
    isPartial: (driver: VersionDriver) => boolean,
  ): Promise<void> {
    const { newest } = this;
    const drivers = [...this.#versions.values()];
    // Complete ones are sources for the partial one, which may have to wait for the network.
    for (const driver of drivers) if (isComplete(driver)) await driver.start();
    for (const driver of drivers) {
      if (isPartial(driver) && driver === newest && this.#isWanted(driver.version)) void driver.start();
    }
  }

  /** The origin gives the image out again. */
  async #readmit(): Promise<void> {
    if (!this.#isBarred) return;
    this.#isBarred = false;
    this.#logger.info({}, "image is shared again");
    for (const driver of this.#versions.values()) await driver.admit(true);
    await this.#startVersions(
      (driver) => driver.isComplete,
      (driver) => driver.state === "fetching",
    );
  }

  /** Something at the origin is not as it was; several fetches may say so at once. */
  #checkSoon(): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelCheck ??= this.#context.clock.after(
      STALE_CHECK_MS * (1 + this.#context.random.next()),
      () => {
        this.#cancelCheck = undefined;
        this.check(this.#abort.signal).catch((err: unknown) => {
          this.#logger.warn({ err }, "image not checked");
        });
      },
    );
  }

  async #take(offer: Offer): Promise<void> {
    const { version } = offer.signed.head;
    const known = this.#versions.get(version);
    if (known !== undefined && known.signed.idHex !== offer.signed.idHex) {
      // Not verified, or #checkVersion had refused it: begun from another publication.
      this.#logger.warn({ version }, "version was published again before it was complete; it is begun anew");
      await this.#drop(known);
    }
    const record = {
      ...newRecord(offer.signed, "available", this.#context.isOriginPrivate),
      isFramesIndex: offer.isFramesIndex,
    };
    const driver = await this.#privately(
      this.#versions.get(version) ?? this.#add(record, offer.block, offer.etag),
    );
    if (offer.etag !== undefined) await this.#save({ ...this.#record, alias: { etag: offer.etag, version } });
    if (driver.isComplete || driver.state === "fetching") return;
    if (this.#isWanted(version)) await this.#fetch(driver);
    else driver.setState(this.policy === "suggest" ? "proposed" : "available");
  }

  /** A version of which only copies came so far may be shared once its head has come over TLS too. */
  async #privately(driver: VersionDriver): Promise<VersionDriver> {
    const { record } = driver;
    if (record.isPrivate || !this.#context.isOriginPrivate) return driver;
    await driver.close();
    const again = this.#add({ ...record, isPrivate: true }, driver.headBlock, undefined);
    if (again.state !== "available" && again.state !== "proposed") await again.start();
    return again;
  }

  #add(record: VersionRecord, headBlock: Uint8Array, etag: string | undefined): VersionDriver {
    const driver = new VersionDriver({
      context: this.#context,
      record,
      headBlock,
      ...(etag !== undefined && { aliasEtag: etag }),
      previous: () => this.#newestComplete(record.version),
      onVerified: () => {
        this.#inBackground(() => this.#verified(driver));
      },
      onStale: () => {
        this.#checkSoon();
      },
      onChanged: () => {
        this.#saveSoon();
        this.#context.changed();
      },
    });
    this.#versions.set(record.version, driver);
    return driver;
  }

  /** Older versions that are still being fetched stop; what they have stays a source until this one is proven. */
  async #fetch(driver: VersionDriver): Promise<void> {
    for (const other of this.#versions.values()) {
      if (other === driver || other.isComplete || other.files === undefined) continue;
      this.#logger.info({ version: other.version }, "older version is no longer fetched");
      await this.#context.store.noteFrames(other.files);
      await other.pause();
    }
    await driver.start();
  }

  async #verified(driver: VersionDriver): Promise<void> {
    const { highest } = this.#record;
    if (highest === undefined || driver.version > highest.version) {
      await this.#save({ ...this.#record, highest: { version: driver.version, id: driver.signed.idHex } });
    }
    for (const other of this.#versions.values()) {
      if (UNFINISHED.has(other.state) && other.version < driver.version) await this.#drop(other);
    }
    if (driver.state === "verified" || driver.state === "staged") await this.#activate(driver, false);
    else if (driver.state === "active" && this.#lacksDisk(driver)) await this.#activate(driver, true);
    else await this.#prune();
  }

  /** verified → staged → active, as far as the policy, the disk and the hook let it. */
  async #activate(driver: VersionDriver, isAsked: boolean): Promise<void> {
    const { store, settings } = this.#context;
    if (driver.files === undefined || (this.#isEnd(driver) && !isAsked)) return;
    this.#activating = driver;
    try {
      const disk = await rebuildDisk(store.folder(this.name), driver.files, settings.materialize, {
        signal: this.#abort.signal,
        logger: this.#logger,
        proven: driver.disk,
      });
      if (driver.state === "verified") driver.setState("staged", disk);
      if (settings.consentHook !== undefined) {
        const asked = {
          name: this.name,
          version: driver.version,
          pack: driver.files.paths.pack,
          ...(disk !== undefined && { disk: join(store.folder(this.name), disk) }),
        };
        const isAgreed = await askConsent(settings.consentHook, asked, {
          logger: this.#logger,
          signal: this.#abort.signal,
        });
        if (!isAgreed) return;
      }
      await store.setActive(this.name, driver.version, disk);
      const before = this.#record.active === undefined ? undefined : this.#versions.get(this.#record.active);
      await this.#save({ ...this.#record, active: driver.version });
      driver.setState("active", disk);
      driver.setError(undefined);
      if (before !== undefined && before !== driver) before.setState("superseded");
      await this.#prune();
    } catch (err) {
      const failure = asAppError(err);
      if (failure.code === "ERR_ABORTED") return;
      this.#logger.error({ err: failure, version: driver.version }, "version not activated");
      driver.setError(failure);
    } finally {
      this.#activating = undefined;
    }
  }

  /** True if this version stays as it is: an opaque pack, or held back by a rollback. */
  #isEnd(driver: VersionDriver): boolean {
    const { heldBack, active } = this.#record;
    if (driver.signed.head.disk === undefined) return true;
    return (
      (heldBack !== undefined && driver.version <= heldBack) ||
      (active !== undefined && driver.version < active)
    );
  }

  /** A disk is wanted and not there: rebuilding was switched on after the version became active. */
  #lacksDisk(driver: VersionDriver): boolean {
    const isWanted = this.#context.settings.materialize !== "off" && driver.signed.head.disk !== undefined;
    return isWanted && driver.disk === undefined;
  }

  #isWanted(version: number): boolean {
    return this.policy === "auto" || this.#record.accepted === version || this.#record.active === version;
  }

  #newestComplete(below: number): VersionFiles | undefined {
    const complete = [...this.#versions.values()].filter((v) => v.isComplete && v.version < below);
    return complete.toSorted((a, b) => b.version - a.version)[0]?.files;
  }

  /** Keeps the active version, newer ones, and so many older ones. */
  async #prune(): Promise<void> {
    const { active } = this.#record;
    if (active === undefined) return;
    const older = [...this.#versions.values()]
      .filter((v) => v.isComplete && v.version < active)
      .toSorted((a, b) => b.version - a.version);
    for (const driver of older.slice(this.#context.settings.keep)) {
      this.#logger.info({ version: driver.version }, "old version removed");
      await this.#drop(driver);
    }
  }

  async #drop(driver: VersionDriver): Promise<void> {
    if (driver.version === this.#record.active) throw new Error("unreachable: the active version is kept");
    await driver.close();
    this.#versions.delete(driver.version);
    await this.#context.store.removeVersion(this.name, driver.version, driver.disk);
    this.#saveSoon();
  }

  /** One change of the image at a time. */
  async #exclusive(work: () => Promise<void>): Promise<void> {
    const run = this.#busy.then(work);
    this.#busy = run.catch(() => {}); // the caller of this one hears of it
    await run;
  }

  #inBackground(work: () => Promise<void>): void {
    this.#exclusive(work).catch((err: unknown) => {
      const failure = asAppError(err);
      this.#logger.error({ err: failure }, "image not advanced");
      this.#lastError = { code: failure.code, message: failure.message };
    });
  }

  #saveSoon(): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelSave ??= this.#context.clock.after(SAVE_MS, () => {
      this.#cancelSave = undefined;
      this.#saveNow().catch((err: unknown) => {
        this.#logger.warn({ err }, "image state not saved");
      });
    });
  }

  async #save(record: ImageRecord): Promise<void> {
    this.#record = record;
    await this.#saveNow();
  }

  /** Writes go one after the other; each takes the state of its turn. */
  #saveNow(): Promise<void> {
    const write = this.#saving
      .catch(() => {}) // whoever asked for that one hears of it
      .then(() =>
        this.#context.store.saveRecord(this.name, {
          ...this.#record,
          versions: [...this.#versions.values()].map((v) => v.record),
        }),
      );
    this.#saving = write;
    return write;
  }
}

function newRecord(signed: SignedHead, state: VersionRecord["state"], isPrivate: boolean): VersionRecord {
  const { version } = signed.head;
  return { version, id: signed.idHex, state, isPrivate, isFramesIndex: false, wasted: NO_WASTE };
}
