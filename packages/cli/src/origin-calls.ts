import { originConfigDefaults, originConfigSchema, readOriginAccess } from "@ckmesh/client";
import { OriginCalls } from "@ckmesh/net";
import { loadConfig, systemClock } from "@ckmesh/runtime";
import type { CliOptions } from "./cli-options.js";
import { originFlags } from "./origin-options.js";

/**
 * The way to the origin of `--to` for a command that changes something there: logon by the flags of
 * `addOriginOptions`, else by CKMESH_… variables.
 * @throws {AppError} ERR_USAGE, ERR_CONFIG_INVALID
 */
export async function openOriginCalls(
  options: CliOptions,
): Promise<{ readonly calls: OriginCalls; readonly url: string }> {
  const { config } = loadConfig({
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: process.env,
    unknownKeys: "warn",
    flags: originFlags(options),
  });
  const baseUrl = options.requiredText("to");
  const calls = new OriginCalls({ baseUrl, clock: systemClock, ...(await readOriginAccess(config)) });
  return { calls, url: baseUrl };
}
