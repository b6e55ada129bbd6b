import { statSync } from "node:fs";
import type { CommandRun } from "../timed-command.js";

/** Two images of one disk, and an empty folder for what is made of them. */
export interface ImagePair {
  readonly before: string;
  readonly after: string;
  readonly folder: string;
}

/** What one way to move a disk costs; what is absent it does not have. */
export interface UpdateCost {
  readonly tool: string;
  /** Bytes of the older image for somebody who has nothing. */
  readonly firstBytes?: number;
  /** Bytes of the newer image for somebody who has the older one. */
  readonly updateBytes?: number;
  /** Making what `firstBytes` counts. */
  readonly first?: CommandRun;
  /** Making what `updateBytes` counts. */
  readonly update?: CommandRun;
  readonly note?: string;
}

export function fileBytes(path: string): number {
  return statSync(path).size;
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
