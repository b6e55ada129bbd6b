import { createMetrics, type PrometheusMetrics } from "@ckmesh/runtime";
import type { CliOptions } from "./cli-options.js";
import type { Output } from "./output.js";
import { type ProgramDeps, programDeps } from "./program-setup.js";

/** What a program is given that serves its metrics. */
export interface ServerDeps extends ProgramDeps {
  readonly metrics: PrometheusMetrics;
}

/** The collaborators of a server. In a file of its own, as a client loads and samples none of this. */
export async function serverDeps(
  output: Output,
  options: CliOptions,
  warnings: readonly string[],
): Promise<ServerDeps> {
  return { ...programDeps(output, options, warnings), metrics: await createMetrics() };
}
