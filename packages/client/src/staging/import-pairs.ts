import { Bitfield, type Clock, type Logger } from "@ckmesh/core";
import { decodeHead, type SignedHead } from "@ckmesh/image";
import { type ImageRecord, ImageStore, type StoredVersion, type WorkOptions } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import { checkVersionRule } from "../image/image-offer.js";
import { otherPublication } from "../image/rollback-target.js";
import { combinePlans } from "../local/combine-plans.js";
import { missingBytes, neededBytes } from "../version/needed-bytes.js";
import { EqualFrames } from "./equal-frames.js";
import { folderPlanner } from "./folder-planner.js";
import { type ImportedPair, newestPairs, refusedPair } from "./imported-pair.js";
import type { StagedPair } from "./staged-pair.js";
import { StagedSource } from "./staged-source.js";

export interface ImportOptions extends Pick<WorkOptions, "onProgress" | "signal"> {
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Takes the newest version of each image of a folder into a store on which no client runs. Whether this machine may
 * have them says the client when it starts: publishers, rollouts, the version that is active.
 * @throws {AppError} ERR_STORE_BUSY, ERR_CONFIG_INVALID, ERR_STORE_FULL, ERR_ABORTED; of the folder
 *   ERR_FILE_NOT_FOUND, ERR_FILE_DENIED
 */
export async function importIntoStore(
  storeDir: string,
  folder: string,
  options: ImportOptions,
): Promise<readonly ImportedPair[]> {
  const choices = await newestPairs(folder, options.logger);
  const store = await ImageStore.open(storeDir, options);
  try {
    const results: ImportedPair[] = [];
    for (const { found, passedOver } of choices) {
      const { image, version } = found;
      const others = passedOver.length > 0 && { passedOver };
      try {
        if ("problem" in found) throw found.problem;
        results.push({
          image,
          version,
          ...others,
          ...(await importPair(store, found.pair, folder, options)),
        });
      } catch (err) {
        const failure = asAppError(err);
        // What keeps this pair from being copied keeps all others from it, too.
        if (failure.code === "ERR_STORE_FULL" || failure.code === "ERR_ABORTED") throw failure;
        results.push(refusedPair(image, version, failure));
      }
    }
    return results;
  } finally {
    await store.close();
  }
}

async function importPair(
  store: ImageStore,
  pair: StagedPair,
  folder: string,
  { clock, logger, onProgress, signal }: ImportOptions,
): Promise<Pick<ImportedPair, "result" | "missingBytes">> {
  const { signed, headBlock } = pair;
  const { name } = signed.head;
  const stored = await store.versions(name);
  if (isHere(signed, stored, await store.loadRecord(name))) return { result: "here" };
  const files = await store.openVersion(name, headBlock);
  try {
    const source = new StagedSource({ pair, files, io: store.background.io, clock, logger });
    const report = (): void => {
      const bytesTotal = neededBytes(signed.head);
      onProgress?.({
        phase: "copy",
        bytesDone: bytesTotal - missingBytes(signed.head, files.bytes),
        bytesTotal,
      });
    };
    await source.takeIndex();
    if (files.frames !== undefined) {
      const missing = new Bitfield(files.table.layout.rows);
      for (const run of files.have.runs(false, files.table.layout.pieceRows)) missing.addRun(run);
      const others = new EqualFrames({ folder, files, clock, logger });
      const plan = await combinePlans([folderPlanner(files, source, others)], missing, logger);
      await plan.copy(signal ?? new AbortController().signal, report);
    }
    signal?.throwIfAborted();
    if (!files.have.isFull)
      return { result: "incomplete", missingBytes: missingBytes(signed.head, files.bytes) };
    await files.finish({ ...(signal !== undefined && { signal }) });
    await store.noteFrames(files);
    return { result: "complete" };
  } finally {
    await files.close();
  }
}

/** @throws {AppError} ERR_VERSION_REFUSED */
function isHere(signed: SignedHead, stored: readonly StoredVersion[], { highest }: ImageRecord): boolean {
  const same = stored.find(({ version }) => version === signed.head.version);
  if (same !== undefined && decodeHead(same.headBlock).idHex !== signed.idHex) throw otherPublication(signed);
  if (same?.isComplete === true) return true;
  const verified = new Map(highest === undefined ? [] : [[highest.version, highest.id]]);
  checkVersionRule(signed, { lowest: highest?.version ?? 0, verified });
  return false;
}
