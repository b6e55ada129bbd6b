import { Bitfield, isAppError, type Logger } from "@ckmesh/core";
import { isLocalFault } from "../as-app-error.js";
import type { LocalPlan } from "./local-plan.js";

/**
 * Looks for frames of a version somewhere on this machine. `missing`: rows of frames that are neither held nor
 * found by a planner before this one; the plan names some of them.
 */
export type LocalPlanner = (missing: Bitfield) => Promise<LocalPlan>;

/**
 * One plan out of several: each planner is asked for what those before it did not find, so the cheapest source
 * comes first. A planner that fails finds nothing; only a fault of this machine ends the work.
 */
export async function combinePlans(
  planners: readonly LocalPlanner[],
  missing: Bitfield,
  logger: Logger,
): Promise<LocalPlan> {
  const rows = new Bitfield(missing.length);
  const left = missing.clone();
  const plans: LocalPlan[] = [];
  for (const planner of planners) {
    if (left.count === 0) break;
    const plan = await askPlanner(planner, left, logger);
    if (plan === undefined || plan.rows.count === 0) continue;
    plans.push(plan);
    for (const run of plan.rows.runs()) {
      rows.addRun(run);
      for (let row = run.first; row < run.first + run.count; row++) left.delete(row);
    }
  }
  return {
    rows,
    async copy(signal, onStored) {
      for (const plan of plans) {
        if (signal.aborted) return;
        await plan.copy(signal, onStored);
      }
    },
  };
}

async function askPlanner(
  planner: LocalPlanner,
  missing: Bitfield,
  logger: Logger,
): Promise<LocalPlan | undefined> {
  try {
    return await planner(missing.clone());
  } catch (err) {
    if (!isAppError(err) || isLocalFault(err)) throw err;
    logger.warn({ err }, "a local source of frames was not looked at");
    return undefined;
  }
}
