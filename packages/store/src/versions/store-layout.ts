import { join } from "node:path";
import { deltaPackFileName, packFileName } from "@ckmesh/image";

/** Paths of one version, or of one delta, within the folder of its image. */
export interface VersionPaths {
  readonly pack: string;
  readonly index: string;
  readonly packPartial: string;
  readonly indexPartial: string;
  /** Checkpoint of the have-map. */
  readonly have: string;
  /** One byte per row: how it came. Never trusted for content. */
  readonly sources: string;
  /** Decoded frames whose packed form is not here and cannot be made here. */
  readonly decoded: string;
}

export function versionPaths(folder: string, name: string, version: number): VersionPaths {
  return pathsOf(join(folder, packFileName(name, version)));
}

/** What the names of a step have beyond those of its delta. */
const STEP_SUFFIX = ".step";

/** Of the delta that leads from version `from` to `version`. */
export function deltaPaths(folder: string, name: string, version: number, from: number): VersionPaths {
  return pathsOf(join(folder, deltaPackFileName(name, version, from)));
}

/**
 * Of the step at version `from`: the part of it from which the delta to `version` starts, where the whole of it is not
 * here. Its names are the delta's with a suffix, so that what removes the one finds the other.
 */
export function stepPaths(folder: string, name: string, version: number, from: number): VersionPaths {
  return pathsOf(`${join(folder, deltaPackFileName(name, version, from))}${STEP_SUFFIX}`);
}

function pathsOf(pack: string): VersionPaths {
  const index = `${pack}.index`;
  return {
    pack,
    index,
    packPartial: `${pack}.partial`,
    indexPartial: `${index}.partial`,
    have: `${pack}.have`,
    sources: `${pack}.sources`,
    decoded: `${pack}.decoded`,
  };
}
