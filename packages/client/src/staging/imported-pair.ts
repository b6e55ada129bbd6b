import { basename } from "node:path";
import type { AppError, Logger } from "@ckmesh/core";
import type { StatusError } from "../status.js";
import { listStaged, type StagedFile } from "./staged-pair.js";

/** What became of one pair of a folder that is imported; its keys are API (docs: json output). */
export interface ImportedPair {
  readonly image: string;
  readonly version: number;
  /**
   * `begun`: a running client copies what is right in it. `incomplete`: that was done, and something is missing.
   * `here`: there was nothing to do.
   */
  readonly result: "begun" | "complete" | "incomplete" | "here" | "refused";
  /** Of an incomplete one: bytes that have to come from elsewhere. */
  readonly missingBytes?: number;
  /** Names of index files of newer versions that cannot be read; absent when there are none. */
  readonly passedOver?: readonly string[];
  /** Why it was refused. */
  readonly error?: StatusError;
}

/** What is to be imported of one image, and files of newer versions of it that are no use. */
export interface ImportChoice {
  readonly found: StagedFile;
  readonly passedOver: readonly string[];
}

/**
 * The newest version of each image in a folder whose index can be read; where none can, the newest of all.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED of the folder
 */
export async function newestPairs(folder: string, logger: Logger): Promise<readonly ImportChoice[]> {
  const choices = new Map<string, ImportChoice>();
  const unreadable = new Map<string, string[]>();
  for (const found of await listStaged(folder)) {
    const { image } = found;
    const chosen = choices.get(image)?.found;
    if (chosen !== undefined && "pair" in chosen) continue;
    if ("pair" in found) choices.set(image, { found, passedOver: unreadable.get(image) ?? [] });
    else {
      logger.warn({ file: found.file, err: found.problem }, "index passed over: it is no use");
      unreadable.set(image, [...(unreadable.get(image) ?? []), basename(found.file)]);
      if (!choices.has(image)) choices.set(image, { found, passedOver: [] });
    }
  }
  return [...choices.values()];
}

export function refusedPair(image: string, version: number, { code, message }: AppError): ImportedPair {
  return { image, version, result: "refused", error: { code, message } };
}
