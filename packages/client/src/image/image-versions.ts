import { join } from "node:path";
import type { AppError, Logger } from "@ckmesh/core";
import { checkTrust, decodeHead, type SignedHead } from "@ckmesh/image";
import { type VersionFiles, type VersionRecord, versionPaths } from "@ckmesh/store";
import type { ClientContext } from "../client-context.js";
import { lostPack } from "../disk/lost-pack.js";
import { nearestDisk } from "../disk/nearest-disk.js";
import { isFile } from "../is-file.js";
import { VersionDriver } from "../version/version-driver.js";
import type { Offer } from "./image-offer.js";
import { newVersionRecord } from "./image-state.js";

/** What an image hears of its versions. */
interface VersionEvents {
  /** Every byte is proven and the pack has its final name. */
  verified(driver: VersionDriver): void;
  /** The origin no longer has it where it was, or refuses it. */
  stale(): void;
  /** A peer says that the origin has a newer version. */
  newer(version: number, peerId: string): void;
  /** The work on this machine stopped; it may be tried again. */
  fault(version: number, err: AppError): void;
  /** State, error or counters changed. */
  changed(): void;
}

export interface ImageVersionsOptions {
  readonly name: string;
  readonly context: ClientContext;
  readonly logger: Logger;
  readonly events: VersionEvents;
  /** Versions below that one to take frames from, the best first. */
  readonly older: (below: number) => readonly VersionFiles[];
}

/** The versions of one image that this machine knows: how they come to be here, rest and go. */
export class ImageVersions {
  readonly #options: ImageVersionsOptions;
  readonly #drivers = new Map<number, VersionDriver>();

  constructor(options: ImageVersionsOptions) {
    this.#options = options;
  }

  /** Live. */
  get all(): ReadonlyMap<number, VersionDriver> {
    return this.#drivers;
  }

  get records(): readonly VersionRecord[] {
    return [...this.#drivers.values()].map((driver) => driver.record);
  }

  /**
   * Takes what is in the store; nothing is started.
   * @param known what was kept of the versions
   * @param active that one of them
   * @returns those that are complete there, and the others; in neither: those that have their disk only
   */
  async open(
    known: readonly VersionRecord[],
    active: number | undefined,
  ): Promise<{
    readonly complete: readonly VersionDriver[];
    readonly partial: readonly VersionDriver[];
  }> {
    const { context, name } = this.#options;
    const complete: VersionDriver[] = [];
    const partial: VersionDriver[] = [];
    for (const { version, headBlock, isComplete } of await context.store.versions(name)) {
      const signed = decodeHead(headBlock);
      const kept = known.find((v) => v.version === version && v.id === signed.idHex);
      if (kept === undefined && !this.#isTrusted(signed)) continue;
      const { shed: givenUp, ...found } =
        kept ?? newVersionRecord(signed, isComplete ? "verified" : "fetching", false);
      // Whatever an earlier run made of it when it was damaged.
      const record = version === active ? { ...found, state: "active" as const } : found;
      const shed = givenUp ?? (await lostPack(context.store, headBlock, record));
      if (shed !== undefined && !isComplete && (await this.#hasDisk(record))) {
        this.#add({ ...record, shed }, headBlock, undefined);
        continue;
      }
      const isReady = isComplete || (record.disk !== undefined && (await this.#hasDecoded(version)));
      (isReady ? complete : partial).push(this.#add(record, headBlock, undefined));
    }
    return { complete, partial };
  }

  /** The version of an offer: the one that is here, begun anew where it was published again, or a new one. */
  async of(offer: Offer): Promise<VersionDriver> {
    const { context, logger } = this.#options;
    const { version } = offer.signed.head;
    const known = this.#drivers.get(version);
    if (known !== undefined && known.signed.idHex !== offer.signed.idHex) {
      // Not verified, or the rule of versions had refused it: begun from another publication.
      logger.warn({ version }, "version was published again before it was complete; it is begun anew");
      await this.drop(known);
    }
    const isPrivate = context.isOriginPrivate && offer.isCopy !== true;
    const record = {
      ...newVersionRecord(offer.signed, "available", isPrivate),
      isFramesIndex: offer.isFramesIndex,
    };
    const driver = this.#drivers.get(version) ?? this.#add(record, offer.block, offer.etag);
    return isPrivate ? await this.#privately(driver) : driver;
  }

  /** Of a version that no client has taken yet: somebody put it into the store, or `client import` did. */
  #isTrusted(signed: SignedHead): boolean {
    try {
      checkTrust(signed, this.#options.context.trust);
      return true;
    } catch (err) {
      this.#options.logger.error({ err, version: signed.head.version }, "version in the store is not taken");
      return false;
    }
  }

  /** Its index has its final name, and its disk is there. */
  async #hasDisk({ version, disk }: Pick<VersionRecord, "version" | "disk">): Promise<boolean> {
    const folder = this.#options.context.store.folder(this.#options.name);
    if (disk === undefined) return false;
    const files = [versionPaths(folder, this.#options.name, version).index, join(folder, disk)];
    return (await Promise.all(files.map(isFile))).every(Boolean);
  }

  /** Some of its frames are decoded only: enough for its disk and for updates. */
  async #hasDecoded(version: number): Promise<boolean> {
    const { context, name } = this.#options;
    return await isFile(versionPaths(context.store.folder(name), name, version).decoded);
  }

  /** What it has stays a source of equal frames. */
  async pause(driver: VersionDriver): Promise<void> {
    if (driver.files !== undefined) await this.#options.context.store.noteFrames(driver.files);
    await driver.pause();
  }

  /** Those that are still being fetched stop; what they have stays a source until this one is proven. */
  async pauseOthers(driver: VersionDriver): Promise<void> {
    for (const other of this.#drivers.values()) {
      if (other === driver || other.isComplete || other.files === undefined) continue;
      this.#options.logger.info({ version: other.version }, "older version is no longer fetched");
      await this.pause(other);
    }
  }

  /** Opens what a version has as a source for others; they do without else. */
  async openSource(driver: VersionDriver): Promise<void> {
    try {
      await driver.openSource();
    } catch (err) {
      this.#options.logger.warn({ err, version: driver.version }, "damaged version not opened");
    }
  }

  /** Makes the pack of a version again, for what it holds; what that does not bring is fetched. */
  async regain(driver: VersionDriver | undefined): Promise<void> {
    try {
      await driver?.regain();
    } catch (err) {
      this.#options.logger.warn({ err, version: driver?.version }, "pack not made again from its disk");
    }
  }

  /**
   * Keeps disk and index only, of all versions. What stands in the way costs nothing but space.
   * @param save the records
   */
  async shed(save: () => Promise<void>): Promise<void> {
    for (const driver of this.#drivers.values()) {
      try {
        await driver.shed(save);
      } catch (err) {
        this.#options.logger.warn({ err, version: driver.version }, "pack not given up");
      }
    }
  }

  /** Takes a version and its files away. */
  async drop(driver: VersionDriver): Promise<void> {
    const { context, name, events } = this.#options;
    await driver.close();
    this.#drivers.delete(driver.version);
    await context.store.removeVersion(name, driver.version, driver.disk);
    events.changed();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#drivers.values()].map((driver) => driver.close()));
  }

  /** A version of which only copies came so far may be shared once its head has come over TLS too. */
  async #privately(driver: VersionDriver): Promise<VersionDriver> {
    const { record } = driver;
    if (record.isPrivate) return driver;
    await driver.close();
    const again = this.#add({ ...record, isPrivate: true }, driver.headBlock, undefined);
    if (again.state !== "available" && again.state !== "proposed") await again.start();
    return again;
  }

  #add(record: VersionRecord, headBlock: Uint8Array, etag: string | undefined): VersionDriver {
    const { context, events, older } = this.#options;
    const driver = new VersionDriver({
      context,
      record,
      headBlock,
      ...(etag !== undefined && { aliasEtag: etag }),
      older: () => older(record.version),
      onDamaged: (files, runs) => {
        for (const other of this.#drivers.values()) if (other.files === files) other.recheck(runs);
      },
      base: () => {
        const image = { name: this.#options.name, version: record.version };
        return nearestDisk(context.store.folder(image.name), image, this.#drivers.values());
      },
      onVerified: () => events.verified(driver),
      onStale: () => events.stale(),
      onNewer: (version, peerId) => events.newer(version, peerId),
      onFault: (err) => events.fault(record.version, err),
      onChanged: () => events.changed(),
    });
    this.#drivers.set(record.version, driver);
    return driver;
  }
}
