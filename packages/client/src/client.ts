import { AppError, type Logger, randomInt } from "@ckmesh/core";
import { isAccessLost } from "./access-lost.js";
import { asAppError } from "./as-app-error.js";
import type { ClientContext } from "./client-context.js";
import type { ControlRequest } from "./control/control-request.js";
import { fetchCatalogue } from "./fetch-catalogue.js";
import { ImageDriver } from "./image/image-driver.js";
import { unknownVersion } from "./image/rollback-target.js";
import { type ImportedPair, newestPairs, refusedPair } from "./staging/imported-pair.js";
import type { StagedPair } from "./staging/staged-pair.js";
import type { ClientStatus, ImageStatus, StatusError } from "./status.js";

/** With --once: so long without a new row, of a delta or a step neither, and it is given up. */
const ONCE_STALL_MS = 120_000;
/** The same while the origin answers, but with something that does not help. */
const ONCE_USELESS_MS = 10_000;
const ONCE_LOOK_MS = 250;
/** Images that are checked at once: one whose disk is being rebuilt, for hours maybe, does not hold up the others. */
const CHECKS_AT_ONCE = 8;
/** A word of the tracker about a new version is followed within this time, by chance. */
const PUBLISHED_SPREAD_MS = 2000;

export interface OnceResult {
  readonly images: readonly ImageStatus[];
}

/** All images of one machine. */
export class Client {
  readonly #context: ClientContext;
  readonly #logger: Logger;
  /** Empty: the catalogue says. */
  readonly #names: readonly string[];
  readonly #drivers = new Map<string, Promise<ImageDriver>>();
  readonly #open = new Map<string, ImageDriver>();
  readonly #abort = new AbortController();
  readonly #checks = new Set<Promise<void>>();
  #lastError: StatusError | undefined;
  #hasTakenStaged = false;

  constructor(context: ClientContext, names: readonly string[]) {
    this.#context = context;
    this.#logger = context.logger;
    this.#names = names;
  }

  get images(): readonly ImageDriver[] {
    return [...this.#open.values()];
  }

  /** Opens what the store has: complete versions serve, partial ones go on. An image that fails is reported. */
  async openStored(): Promise<void> {
    await Promise.all(
      (await this.#context.store.images()).map(async (name) => {
        try {
          await this.#driver(name);
        } catch (err) {
          this.#fail(asAppError(err));
        }
      }),
    );
  }

  /**
   * Looks at the origin for every image.
   * @throws {AppError} the first error, after all were tried
   */
  async checkAll(signal: AbortSignal): Promise<void> {
    let failure: AppError | undefined;
    let names = this.#names;
    try {
      if (names.length === 0) {
        names = await fetchCatalogue(this.#context.origin, signal);
        await this.#checkUnlisted(new Set(names), signal);
      }
    } catch (err) {
      failure = asAppError(err);
      names = [];
      if (isAccessLost(failure.code)) for (const driver of this.images) await driver.bar(failure);
    }
    const left = names.values();
    const checkNext = async (): Promise<void> => {
      for (const name of left) {
        try {
          await (await this.#driver(name)).check(signal);
        } catch (err) {
          this.#logger.warn({ image: name, err }, "image not checked");
          failure ??= asAppError(err);
        }
      }
    };
    await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, checkNext));
    if (failure !== undefined && isOriginAway(failure.code)) await this.#takeStaged();
    this.#context.metrics.checks.add(1, { result: failure === undefined ? "done" : "failed" });
    if (failure === undefined) this.#lastError = undefined;
    else this.#fail(failure);
    if (failure !== undefined) throw failure;
  }

  /** The tracker says that a version was published: looks within a moment, not all clients at once. */
  published(image: string, version: number): void {
    const driver = this.#open.get(image);
    // Also a lower version is news: the one that the alias stood for may have been withdrawn.
    if (!this.#isMine(image) || version === (driver?.aliasVersion ?? driver?.newest?.version)) return;
    this.#context.clock.after(randomInt(this.#context.random, PUBLISHED_SPREAD_MS), () => {
      const check = this.#checkOne(image).finally(() => this.#checks.delete(check));
      this.#checks.add(check);
    });
  }

  /** @throws {AppError} ERR_IMAGE_NOT_FOUND */
  async control(request: Extract<ControlRequest, { command: "accept" | "rollback" }>): Promise<void> {
    const driver = this.#open.get(request.image);
    if (driver === undefined) throw unknownVersion(request.image, request.version);
    if (request.command === "accept") await driver.accept(request.version);
    else await driver.rollback(request.version);
  }

  /**
   * Takes the newest version of each image from a folder; rows are copied when this has returned.
   * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED of the folder
   */
  async importFrom(folder: string): Promise<readonly ImportedPair[]> {
    const results: ImportedPair[] = [];
    for (const { found, passedOver } of await newestPairs(folder, this.#logger)) {
      const { image, version } = found;
      const others = passedOver.length > 0 && { passedOver };
      try {
        if ("problem" in found) throw found.problem;
        if (!this.#isMine(image)) throw unfollowedImage(image);
        const isTaken = await (await this.#driver(image)).takePair(found.pair, true);
        results.push({ image, version, ...others, result: isTaken ? "begun" : "here" });
      } catch (err) {
        results.push(refusedPair(image, version, asAppError(err)));
      }
    }
    return results;
  }

  status(): Pick<ClientStatus, "images" | "lastError"> {
    const images = this.images.map((d) => d.status()).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return { images, ...(this.#lastError !== undefined && { lastError: this.#lastError }) };
  }

  /**
   * Waits until every image is where its policy lets it go.
   * @throws {AppError} why one is not
   */
  async settled(): Promise<void> {
    let held = -1;
    let since = this.#context.clock.now();
    for (;;) {
      const now = this.#context.clock.now();
      const sum = this.images.reduce((total, d) => total + bytesOf(d), 0);
      // While the WAN is closed nothing has to come, nor while a disk is being rebuilt.
      const isResting = !this.#context.wan.isOpen || this.images.some((d) => d.isActivating);
      if (sum !== held || isResting) [held, since] = [sum, now];
      for (const driver of this.images) this.#throwIfStopped(driver, now - since);
      if (this.images.every((d) => d.isSettled)) return;
      if (this.#abort.signal.aborted) throw new AppError("ERR_ABORTED", "stopped");
      await new Promise<void>((resolve) => {
        this.#context.clock.after(ONCE_LOOK_MS, resolve);
      });
    }
  }

  /** A version came from the pre-stage folder, as the origin was away. */
  get hasTakenStaged(): boolean {
    return this.#hasTakenStaged;
  }

  /** Something resumed or begun is still on its way. */
  get isFetching(): boolean {
    return this.images.some(({ newest }) => {
      // An error of the origin, of this run or the one before, is none of the peers.
      return newest?.state === "fetching" && !newest.isFailed && !newest.isStopped;
    });
  }

  /** Of some image that it is to keep, this machine has seen nothing yet. */
  get isMissingImages(): boolean {
    const names = this.#names.length === 0 ? [...this.#open.keys()] : this.#names;
    return names.length === 0 || names.some((name) => this.#open.get(name)?.newest === undefined);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#checks);
    const drivers = await Promise.allSettled(this.#drivers.values());
    await Promise.all(drivers.flatMap((d) => (d.status === "fulfilled" ? [d.value.close()] : [])));
  }

  #throwIfStopped(driver: ImageDriver, idleMs: number): void {
    const { newest } = driver;
    if (newest === undefined) return;
    const { error } = newest;
    const isStalled =
      idleMs > (error !== undefined && isUseless(error.code) ? ONCE_USELESS_MS : ONCE_STALL_MS);
    const isOver = newest.isFailed || newest.isStopped || (newest.state === "verified" && !driver.isSettled);
    if (error !== undefined && (isOver || isStalled || isFinal(error.code)))
      throw new AppError(error.code, error.message);
    if (isStalled && !driver.isSettled) {
      throw new AppError(
        "ERR_TIMEOUT",
        `${driver.name} version ${newest.version} got no new row for ${ONCE_STALL_MS / 1000} s: is the origin reachable? Start again to go on`,
      );
    }
  }

  /** The catalogue lists what may be read: what is here and not in it was taken away, or is no longer there. */
  async #checkUnlisted(listed: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    for (const driver of this.images.filter(({ name }) => !listed.has(name))) {
      await driver.check(signal).catch((err: unknown) => {
        this.#logger.info({ image: driver.name, code: asAppError(err).code }, "image not in the catalogue");
      });
    }
  }

  #isMine(image: string): boolean {
    return this.#names.length === 0 || this.#names.includes(image);
  }

  /**
   * The origin is away: what a configured publisher signed counts without it. Without publishers nobody says which
   * of the pairs in the folder is the right one.
   */
  async #takeStaged(): Promise<void> {
    const { staging, trust } = this.#context;
    if (staging === undefined || trust.publishers.length === 0) return;
    for (const pair of await staging.pairs()) {
      if (this.#isMine(pair.signed.head.name)) await this.#takeStagedPair(pair);
    }
  }

  async #takeStagedPair(pair: StagedPair): Promise<void> {
    const { name, version } = pair.signed.head;
    try {
      const driver = await this.#driver(name);
      // The pairs of an image come newest first: older ones are not wanted then.
      if ((driver.newest?.version ?? 0) > version || !(await driver.takePair(pair, false))) return;
      this.#hasTakenStaged = true;
      this.#logger.info(
        { image: name, version },
        "version taken from the pre-stage folder: the origin is away",
      );
    } catch (err) {
      this.#logger.warn({ image: name, version, err }, "pre-staged version not taken");
    }
  }

  async #checkOne(image: string): Promise<void> {
    if (this.#abort.signal.aborted) return;
    try {
      await (await this.#driver(image)).check(this.#abort.signal);
    } catch (err) {
      this.#logger.warn({ image, err }, "published version not checked");
    }
  }

  #driver(name: string): Promise<ImageDriver> {
    let driver = this.#drivers.get(name);
    if (driver === undefined) {
      driver = ImageDriver.open(name, this.#context);
      this.#drivers.set(name, driver);
      driver.then(
        (opened) => this.#open.set(name, opened),
        () => this.#drivers.delete(name), // the caller hears of it; the next check tries again
      );
    }
    return driver;
  }

  #fail(err: AppError): void {
    if (err.code === "ERR_ABORTED") return;
    this.#lastError = { code: err.code, message: err.message };
  }
}

/** What has come of its newest version, deltas and steps on the way there included. */
function bytesOf({ newest }: ImageDriver): number {
  return Object.values(newest?.status().bytes ?? {}).reduce((sum, bytes) => sum + bytes, 0);
}

/** Nobody answers there; not: it refuses. */
function isOriginAway(code: string): boolean {
  return code === "ERR_ORIGIN_UNREACHABLE" || code === "ERR_TIMEOUT";
}

function unfollowedImage(image: string): AppError {
  return new AppError(
    "ERR_IMAGE_NOT_FOUND",
    `${image} is none of the images of this client: name it in "images", or with --image`,
  );
}

/** What the origin has is wrong or not there; it answers, and may be put right. */
function isUseless(code: string): boolean {
  return (
    code === "ERR_FRAME_HASH_MISMATCH" || code === "ERR_IMAGE_NOT_FOUND" || code === "ERR_ORIGIN_CHANGED"
  );
}

/** Waiting does not help against these. */
function isFinal(code: string): boolean {
  return code === "ERR_AUTH_REQUIRED" || code === "ERR_AUTH_FORBIDDEN" || code === "ERR_SIGNATURE_INVALID";
}
