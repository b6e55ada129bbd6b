import { deltaIndexFileName, deltaPackFileName, indexFileName, packFileName } from "@ckmesh/image";
import type { DeltaFiles, ImageRows, RowFiles } from "@ckmesh/store";
import type { OriginRows, OriginSource } from "../rows/origin-rows.js";

/** The rows of a delta at the origin: under its own name only, as no alias stands for it. */
export function deltaOriginRows(origin: OriginSource, files: DeltaFiles): Pick<OriginRows, "fetch"> {
  const { name, version, base } = files.signed.head;
  return namedRows(origin, files.table, {
    index: deltaIndexFileName(name, version, base.version),
    pack: deltaPackFileName(name, version, base.version),
  });
}

/** Those of an older version, for which no alias stands any more. */
export function olderOriginRows(origin: OriginSource, files: ImageRows): Pick<OriginRows, "fetch"> {
  const { name, version } = files.signed.head;
  return namedRows(origin, files.table, {
    index: indexFileName(name, version),
    pack: packFileName(name, version),
  });
}

function namedRows(
  origin: OriginSource,
  table: Pick<RowFiles["table"], "locate">,
  names: { readonly index: string; readonly pack: string },
): Pick<OriginRows, "fetch"> {
  return {
    async fetch({ run, span, signal, onData, onSkipped }) {
      const { file, offset, length } = table.locate(run);
      const range = { first: offset, last: offset + length - 1, span, signal, onData, onSkipped };
      await origin.fetchRange(names[file], range);
    },
  };
}
