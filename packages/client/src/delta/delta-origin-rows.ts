import { deltaIndexFileName, deltaPackFileName } from "@ckmesh/image";
import type { DeltaFiles } from "@ckmesh/store";
import type { OriginRows, OriginSource } from "../rows/origin-rows.js";

/** The rows of a delta at the origin: under its own name only, as no alias stands for it. */
export function deltaOriginRows(origin: OriginSource, files: DeltaFiles): Pick<OriginRows, "fetch"> {
  const { name, version, base } = files.signed.head;
  const names = {
    index: deltaIndexFileName(name, version, base.version),
    pack: deltaPackFileName(name, version, base.version),
  };
  return {
    async fetch({ run, span, signal, onData, onSkipped }) {
      const { file, offset, length } = files.table.locate(run);
      const range = { first: offset, last: offset + length - 1, span, signal, onData, onSkipped };
      await origin.fetchRange(names[file], range);
    },
  };
}
