import type { Identity } from "@ckmesh/auth";
import type { Clock, Metrics } from "@ckmesh/core";
import type { AuditLog } from "../logs/audit-log.js";
import type { PublishNews, RemovalNews } from "../publish/publish-gate.js";
import type { OpenFiles } from "../serve/open-files.js";
import type { Catalogue, PublishedVersion } from "./catalogue.js";

/** What became the newest of an image, or was added to it. */
export interface Published {
  readonly image: string;
  readonly version: number;
  /** It was published before, and the alias moved to it; false: it came just now. */
  readonly isAliasMove: boolean;
}

export interface PublicationsOptions {
  readonly catalogue: Catalogue;
  readonly openFiles: Pick<OpenFiles, "evict">;
  readonly audit: Pick<AuditLog, "write">;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** Tells of changes of the catalogue: to listeners, the audit log and the metrics. */
export class Publications {
  readonly #options: PublicationsOptions;
  readonly #listeners: ((published: Published) => void)[] = [];
  readonly #gauges: () => void;
  /** Ids of versions that came just now and are told of when the alias, which waits for a delta, stands for them. */
  readonly #untold = new Set<string>();

  constructor(options: PublicationsOptions) {
    this.#options = options;
    this.#gauges = catalogueGauges(options.metrics, options.catalogue);
  }

  subscribe(listener: (published: Published) => void): void {
    this.#listeners.push(listener);
  }

  /** A version came into the catalogue. */
  added(version: PublishedVersion, { isNew, hasAliasMoved, uploader }: PublishNews): void {
    const { audit, clock } = this.#options;
    this.#gauges();
    if (isNew) audit.write({ action: "publish", ...auditFacts(version, uploader) }, clock.wall());
    // Clients that were told to look now would find nothing new.
    const isAwaiting = this.#options.catalogue.awaitsDelta(version.name, version.version);
    if (isNew && isAwaiting) this.#untold.add(version.id);
    if (hasAliasMoved || (isNew && !isAwaiting))
      this.#announce({ image: version.name, version: version.version, isAliasMove: false });
  }

  /** The alias of an image stands for another version, which was published before or has waited for its delta. */
  aliasMoved({ name, version, id }: PublishedVersion): void {
    this.#announce({ image: name, version, isAliasMove: !this.#untold.delete(id) });
  }

  /** A version went out of the catalogue. */
  removed(version: PublishedVersion, { aliasMovedTo, isDeleted }: RemovalNews): void {
    const { audit, clock, openFiles } = this.#options;
    this.#gauges();
    this.#untold.delete(version.id);
    const { pack, index, framesIndex } = version;
    for (const file of [pack, index, framesIndex]) if (file !== undefined) openFiles.evict(file);
    // A deletion has a line of its own, which says whose it was.
    if (!isDeleted) audit.write({ action: "unpublish", ...auditFacts(version, undefined) }, clock.wall());
    if (aliasMovedTo !== undefined) this.aliasMoved(aliasMovedTo);
  }

  #announce(published: Published): void {
    for (const listener of this.#listeners) listener(published);
  }
}

function auditFacts({ name, version, id }: PublishedVersion, uploader: Identity | undefined) {
  const facts = { image: name, version, id };
  return uploader === undefined
    ? ({ ...facts, by: "folder" } as const)
    : ({ ...facts, by: "upload", user: uploader.name } as const);
}

function catalogueGauges(metrics: Metrics, catalogue: Catalogue): () => void {
  const images = metrics.gauge("ckmesh_origin_images", "Published images");
  const versions = metrics.gauge("ckmesh_origin_versions", "Published versions");
  return () => {
    images.set(catalogue.imageCount);
    versions.set(catalogue.versionCount);
  };
}
