import { AppError, type Clock, type Logger } from "@ckmesh/core";
import type { Catalogue, PublishedDelta, PublishedVersion } from "../catalogue/catalogue.js";
import type { OriginControls } from "../control/origin-controls.js";
import type { AuditLog } from "../logs/audit-log.js";
import type { PublishGate } from "../publish/publish-gate.js";
import type { DeletionJournal } from "./deletion-journal.js";
import { versionsInUse } from "./versions-in-use.js";

/** Who asks for a change, for the audit log. */
export interface Actor {
  readonly user: string;
  readonly address: string;
}

export interface ImageRemoverOptions {
  readonly catalogue: Catalogue;
  readonly controls: Pick<OriginControls, "of" | "heldOf">;
  readonly gate: Pick<PublishGate, "takeOut">;
  readonly journal: DeletionJournal;
  readonly audit: Pick<AuditLog, "write">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RemovalRequest extends Actor {
  /** As the caller wrote it: case does not matter. */
  readonly name: string;
  /** Absent: all. */
  readonly version?: number;
  /** Also what clients follow. */
  readonly isForced: boolean;
}

/** Takes versions away for good. Their numbers stay taken: the gate remembers what each stood for. */
export class ImageRemover {
  readonly #options: ImageRemoverOptions;
  #working: Promise<unknown> = Promise.resolve();

  constructor(options: ImageRemoverOptions) {
    this.#options = options;
  }

  /**
   * One removal at a time. Nobody sees a version any more from the beginning on; transfers under way end well where
   * the operating system lets go of open files.
   * @returns what was removed, ascending
   * @throws {AppError} ERR_IMAGE_NOT_FOUND, ERR_VERSION_IN_USE, ERR_FILE_DENIED, ERR_STORE_BUSY; what could not be
   *   removed is published again with the gate's next look at the folder
   */
  async remove(request: RemovalRequest): Promise<readonly PublishedVersion[]> {
    const before = this.#working;
    const work = (async () => {
      await before.catch(() => undefined); // Told to whoever asked for it.
      return this.#remove(request);
    })();
    this.#working = work;
    return work;
  }

  async #remove(request: RemovalRequest): Promise<readonly PublishedVersion[]> {
    const { gate, journal } = this.#options;
    const versions = this.#find(request);
    const followed = request.isForced ? undefined : this.#findFollowed(versions);
    if (followed !== undefined) {
      const { name, version } = followed;
      throw new AppError(
        "ERR_VERSION_IN_USE",
        `clients follow version ${version} of ${name}: publish another one first, or withdraw this one, or force it`,
        { details: { image: name, version } },
      );
    }
    const deltas = this.#deltasOf(versions);
    // Newest last: the alias moves once, not through all that are to go.
    const releases = versions.map(({ name, version }) => gate.takeOut(name, version));
    try {
      // A delta without its versions would stay for ever. The pack goes first: a foreign one that lies there alone would be published as it is.
      await journal.delete([
        ...[...deltas].flatMap(({ pack, index }) => [pack, index]),
        ...versions.flatMap(({ pack, index, framesIndex }) => [
          pack,
          index,
          ...(framesIndex === undefined ? [] : [framesIndex]),
        ]),
      ]);
    } finally {
      await Promise.all(releases.map((release) => release()));
    }
    for (const version of versions) this.#note(version, request);
    return versions;
  }

  #find({ name, version }: RemovalRequest): readonly PublishedVersion[] {
    const { catalogue } = this.#options;
    const image = catalogue.list().find((each) => each.name === catalogue.nameOf(name));
    const versions =
      image?.versions.filter((each) => version === undefined || each.version === version) ?? [];
    if (versions.length > 0) return versions;
    throw new AppError(
      "ERR_IMAGE_NOT_FOUND",
      image === undefined ? "there is no such image" : `${image.name} has no version ${version}`,
    );
  }

  /** Those that are of no use without these versions, each once. */
  #deltasOf(versions: readonly PublishedVersion[]): ReadonlySet<PublishedDelta> {
    const { catalogue } = this.#options;
    return new Set(versions.flatMap(({ name, version }) => catalogue.deltasAt(name, version)));
  }

  /** The first of these versions that clients follow. */
  #findFollowed(versions: readonly PublishedVersion[]): PublishedVersion | undefined {
    const { catalogue, controls, clock } = this.#options;
    const name = versions[0]?.name ?? "";
    const all = catalogue.list().find((image) => image.name === name)?.versions ?? [];
    const inUse = versionsInUse({
      versions: all
        .map(({ version }) => version)
        .filter((version) => !catalogue.isWithdrawn(name, version) && !catalogue.awaitsDelta(name, version)),
      control: controls.of(name)?.signed.record,
      held: controls.heldOf(name),
      now: clock.wall() / 1000,
    });
    return versions.find(({ version }) => inUse.has(version));
  }

  #note({ name, version, id }: PublishedVersion, { user, address, isForced }: RemovalRequest): void {
    const { audit, clock, logger } = this.#options;
    const facts = { image: name, version, id, user, address };
    audit.write({ action: "delete", ...facts, by: "api", isForced }, clock.wall());
    logger.info(facts, "image version deleted");
  }
}
