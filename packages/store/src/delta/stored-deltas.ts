import { parseServedName } from "@ckmesh/image";

/** What the files of a delta, and of its step, may end in, beside the names under which a delta is served. */
const SUFFIX = /(?:\.step)?(?:\.index)?\.(?:partial|have|sources|decoded)$/;

/** A file that belongs to a delta in the store. */
export interface DeltaFileName {
  readonly file: string;
  /** The version that the delta leads to. */
  readonly version: number;
}

/** Those files in the folder of an image that belong to its deltas. */
export function deltaFileNames(image: string, files: readonly string[]): readonly DeltaFileName[] {
  return files.flatMap((file) => {
    const served = parseServedName(file.replace(SUFFIX, ""));
    if (served?.name !== image || served.version === undefined || served.from === undefined) return [];
    return [{ file, version: served.version }];
  });
}
