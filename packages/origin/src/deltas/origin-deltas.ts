import { type Clock, describeError, type Logger, type Metrics, parseDuration } from "@ckmesh/core";
import type { Catalogue, PublishedDelta, PublishedVersion } from "../catalogue/catalogue.js";
import type { OriginConfig } from "../config/config-schema.js";
import type { AuditLog } from "../logs/audit-log.js";
import type { FolderScan } from "../publish/folder-scan.js";
import type { OpenFiles } from "../serve/open-files.js";
import { deltaKey } from "../serve/served-path.js";
import { AliasWaits } from "./alias-waits.js";
import { DeltaGate } from "./delta-gate.js";
import { DeltaMaker } from "./delta-maker.js";
import { runDeltaJob } from "./delta-process.js";
import { DeltaRecords } from "./delta-records.js";
import { type DeltaSigning, readSignKey, signingObstacle } from "./delta-signing.js";
import { MakingFolder } from "./making-folder.js";

export interface OriginDeltasOptions {
  readonly root: string;
  readonly stateDir: string;
  readonly config: OriginConfig["deltas"];
  readonly settleMs: number;
  readonly publishers: () => readonly Uint8Array[];
  readonly catalogue: Catalogue;
  readonly openFiles: Pick<OpenFiles, "evict">;
  readonly audit: Pick<AuditLog, "write">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Runs a change of the image folder while nobody looks at it. */
  readonly inTurn: (change: () => Promise<void>) => Promise<void>;
  /** An alias waited for a delta, and stands for this version now. */
  readonly onAliasMoved: (version: PublishedVersion) => void;
}

interface Parts {
  readonly gate: DeltaGate;
  readonly waits: AliasWaits;
  /** Undefined: none are made. */
  readonly maker: DeltaMaker | undefined;
}

/** All that an origin does with deltas: it takes those of the folder, and makes some itself. */
export class OriginDeltas {
  readonly #gate: DeltaGate;
  readonly #waits: AliasWaits;
  readonly #maker: DeltaMaker | undefined;
  #isStarted = false;

  private constructor({ gate, waits, maker }: Parts) {
    this.#gate = gate;
    this.#waits = waits;
    this.#maker = maker;
  }

  /**
   * Before the first version is published: places deltas that were complete at the last stop.
   * @throws {AppError} ERR_CONFIG_INVALID when the key cannot sign them
   */
  static async open(options: OriginDeltasOptions): Promise<OriginDeltas> {
    const { catalogue, config, stateDir, clock, logger, publishers, onAliasMoved } = options;
    const signKey =
      config.signKeyFile === undefined ? undefined : await readSignKey(config.signKeyFile, publishers());
    const signing = { signKey, publishers };
    const records = await DeltaRecords.load(stateDir, logger);
    const folder = await openMakingFolder(options);
    const waits = new AliasWaits({
      catalogue,
      records,
      waitMs: parseDuration(config.wait),
      isComing: (target, from) =>
        (folder !== undefined && signingObstacle(target, signing) === undefined) ||
        gate.isInFolder(deltaKey(target.name, target.version, from)),
      clock,
      logger,
      onMoved: onAliasMoved,
    });
    await waits.resume();
    const gate: DeltaGate = openGate(options, records, waits, () => deltas.review());
    const maker =
      folder === undefined ? undefined : openMaker(options, { records, waits, folder, gate, signing });
    for (const { name, version, from } of (await folder?.resume(logger)) ?? []) {
      gate.expect(deltaKey(name, version, from));
      await records.setEnded(deltaKey(name, version, from), "made"); // oxlint-disable-line no-await-in-loop -- one file
    }
    const deltas = new OriginDeltas({ gate, waits, maker });
    return deltas;
  }

  /** Takes the deltas that the folder has now. */
  look(found: FolderScan["deltas"]): void {
    this.#gate.look(found);
  }

  /** A version is about to be published for the first time. @param seenAt Unix ms at which its files came */
  async beforePublish(version: PublishedVersion, seenAt: number): Promise<void> {
    await this.#waits.begin(version, seenAt);
  }

  /** What was published before is published again. */
  start(): void {
    this.#isStarted = true;
    this.#gate.lookAgain();
    this.review();
  }

  /** After any change of what is published, or withdrawn. */
  review(): void {
    if (this.#isStarted) this.#maker?.review();
  }

  /** What is said of refused and waiting deltas, as of versions. */
  status() {
    return { ...this.#gate.status(), making: this.#maker?.making };
  }

  /**
   * Why the newest of an image's versions has no delta, and what to set; undefined: it has, or is to have none.
   * @param versions ascending
   */
  obstacle(versions: readonly PublishedVersion[]): string | undefined {
    return this.#maker?.obstacle(versions);
  }

  /** After the publishers changed. */
  retryRefused(): void {
    this.#gate.retryRefused();
    this.review();
  }

  async close(): Promise<void> {
    await Promise.all([this.#gate.close(), this.#maker?.close()]);
    await this.#waits.close();
  }
}

/** Undefined when no deltas are to be made, or cannot be. */
async function openMakingFolder(options: OriginDeltasOptions): Promise<MakingFolder | undefined> {
  const { config, stateDir, root, logger } = options;
  if (config.from === 0) return undefined;
  try {
    return await MakingFolder.open(stateDir, root);
  } catch (err) {
    logger.warn({ root, reason: describeError(err) }, "no deltas are made: this account may not write there");
    return undefined;
  }
}

function openGate(
  options: OriginDeltasOptions,
  records: DeltaRecords,
  waits: AliasWaits,
  onChange: () => void,
): DeltaGate {
  const { root, settleMs, publishers, catalogue, clock, logger, metrics, openFiles, audit } = options;
  const served = metrics.gauge("ckmesh_origin_deltas", "Served deltas");
  return new DeltaGate({
    root,
    settleMs,
    publishers,
    catalogue,
    records,
    verify: async (indexPath, signal) =>
      (await runDeltaJob("verify", { indexPath }, signal)).string("id", 64),
    clock,
    logger,
    onServed: (delta, { isNew }) => {
      served.set(catalogue.deltaCount);
      if (isNew) audit.write({ action: "serve-delta", ...auditFacts(delta) }, clock.wall());
      waits.settle(delta.name, delta.version, delta.from, "the delta is there");
    },
    onRefused: ({ name, version, from }) => waits.settle(name, version, from, "the delta was refused"),
    onGone: (delta) => {
      served.set(catalogue.deltaCount);
      for (const file of [delta.pack, delta.index]) openFiles.evict(file);
      audit.write({ action: "unserve-delta", ...auditFacts(delta) }, clock.wall());
      onChange();
    },
  });
}

function openMaker(
  { catalogue, config, inTurn, clock, logger }: OriginDeltasOptions,
  {
    records,
    waits,
    folder,
    gate,
    signing,
  }: {
    readonly records: DeltaRecords;
    readonly waits: AliasWaits;
    readonly folder: MakingFolder;
    readonly gate: DeltaGate;
    readonly signing: DeltaSigning;
  },
): DeltaMaker {
  return new DeltaMaker({
    catalogue,
    records,
    waits,
    folder,
    maxBases: config.from,
    make: async (order, signal) => {
      const { signKeyFile } = config;
      const job = signKeyFile === undefined ? order : { ...order, signKeyFile };
      const answer = await runDeltaJob("make", job, signal);
      return answer.has("packPath") ? { packPath: answer.string("packPath", 65_536) } : undefined;
    },
    obstacleOf: (target) => signingObstacle(target, signing),
    isInFolder: (key) => gate.isInFolder(key),
    expect: (key) => gate.expect(key),
    inTurn,
    clock,
    logger,
  });
}

function auditFacts({ name, version, from, id }: PublishedDelta) {
  return { image: name, version, from, id } as const;
}
