import type { AppError } from "@ckmesh/core";
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
  /** Why it was refused. */
  readonly error?: StatusError;
}

/**
 * The newest version of each image in a folder.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED of the folder
 */
export async function newestPairs(folder: string): Promise<readonly StagedFile[]> {
  const seen = new Set<string>();
  return (await listStaged(folder)).filter(({ image }) => !seen.has(image) && seen.add(image));
}

export function refusedPair(image: string, version: number, { code, message }: AppError): ImportedPair {
  return { image, version, result: "refused", error: { code, message } };
}
