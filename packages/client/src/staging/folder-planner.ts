import { Bitfield } from "@ckmesh/core";
import type { VersionFiles } from "@ckmesh/store";
import type { LocalPlanner } from "../local/combine-plans.js";
import type { EqualFrames } from "./equal-frames.js";
import type { StagedSource } from "./staged-source.js";

/**
 * All that a folder has of a version: frames of its own pair, if there is one; from other versions those that it
 * lacks, and, once they are known, those that are damaged in it.
 */
export function folderPlanner(
  files: VersionFiles,
  own: StagedSource | undefined,
  others: EqualFrames,
): LocalPlanner {
  return async (missing) => {
    const ownPlan = await own?.plan(missing);
    const rows = ownPlan?.rows.clone() ?? new Bitfield(missing.length);
    const left = without(missing, rows);
    const otherPlan = left.count === 0 ? undefined : await others.plan(left);
    for (const run of otherPlan?.rows.runs() ?? []) rows.addRun(run);
    return {
      rows,
      async copy(signal, onStored) {
        await ownPlan?.copy(signal, onStored);
        await otherPlan?.copy(signal, onStored);
        if (ownPlan === undefined || signal.aborted) return;
        const damaged = without(ownPlan.rows, files.have);
        if (damaged.count > 0) await (await others.plan(damaged)).copy(signal, onStored);
      },
    };
  };
}

function without(rows: Bitfield, others: Pick<Bitfield, "has">): Bitfield {
  const left = rows.clone();
  for (const { first, count } of rows.runs())
    for (let row = first; row < first + count; row++) if (others.has(row)) left.delete(row);
  return left;
}
