import { join } from "node:path";
import { indexFileName, packFileName } from "@ckmesh/image";

/** Paths of one version within the folder of its image. */
export interface VersionPaths {
  readonly pack: string;
  readonly index: string;
  readonly packPartial: string;
  readonly indexPartial: string;
  /** Checkpoint of the have-map. */
  readonly have: string;
  /** One byte per row: how it came. Never trusted for content. */
  readonly sources: string;
}

export function versionPaths(folder: string, name: string, version: number): VersionPaths {
  const pack = join(folder, packFileName(name, version));
  const index = join(folder, indexFileName(name, version));
  return {
    pack,
    index,
    packPartial: `${pack}.partial`,
    indexPartial: `${index}.partial`,
    have: `${pack}.have`,
    sources: `${pack}.sources`,
  };
}
