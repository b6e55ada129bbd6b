import type { AppError, Logger } from "@ckmesh/core";
import type { VersionFiles } from "@ckmesh/store";
import { callsForCheck } from "../access-lost.js";
import type { SpaceWatch } from "../disk/space-watch.js";
import { isForDisk } from "../local/decoded-rows.js";
import type { IndexCarry } from "../local/index-carry.js";
import { OriginRows } from "../rows/origin-rows.js";
import type { VersionStaging } from "../staging/version-staging.js";
import type { VersionDriverOptions } from "./version-driver-options.js";
import type { VersionFacts } from "./version-facts.js";
import { VersionTransfer } from "./version-transfer.js";
import { whyNoSwarm } from "./why-no-swarm.js";

export interface OpenTransferParts {
  readonly options: VersionDriverOptions;
  readonly files: VersionFiles;
  readonly indexCarry: IndexCarry | undefined;
  readonly isBarred: boolean;
  readonly staging: VersionStaging;
  readonly space: SpaceWatch;
  readonly facts: VersionFacts;
  readonly logger: Logger;
  /** Rows or frames came. */
  readonly onCame: () => void;
  /** Every row is held. */
  readonly onComplete: () => void;
  /** The work cannot go on. */
  readonly onFault: (err: AppError) => void;
}

/** How rows of a version come from the origin. */
export function originRows(
  { context, aliasEtag, record }: Pick<VersionDriverOptions, "context" | "aliasEtag" | "record">,
  files: VersionFiles,
  logger: Logger,
): OriginRows {
  return new OriginRows({
    origin: context.origin,
    files,
    logger,
    ...(aliasEtag !== undefined && { aliasEtag }),
    isFramesIndex: record.isFramesIndex,
  });
}

/** The transfer of a version as its driver wants it; not started. */
export function openTransfer(parts: OpenTransferParts): VersionTransfer {
  const { options, files, indexCarry, isBarred, staging, space, facts, logger, onCame } = parts;
  const { context, older, onDamaged, onNewer, onStale } = options;
  return new VersionTransfer({
    context,
    files,
    rows: originRows(options, files, logger),
    swarms: whyNoSwarm(options, isBarred) === undefined,
    older: older(),
    indexCarry,
    staged: staging.planner,
    requireSpace: (moreBytes) => space.require(files, moreBytes),
    tally: facts.tally,
    waste: facts.waste,
    logger,
    onProgress: () => {
      onCame();
      // What is still to come of a version that is here for a disk may or may not.
      if (!isForDisk(files, context.settings)) space.look(files);
    },
    onDonated: onCame,
    onDamaged,
    onNewer,
    onComplete: parts.onComplete,
    onFault: parts.onFault,
    onOriginError: (err) => {
      logger.warn({ err }, "rows not fetched at the origin");
      facts.setError(err);
      if (callsForCheck(err.code)) onStale();
    },
  });
}
