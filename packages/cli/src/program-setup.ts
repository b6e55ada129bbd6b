import { AppError, type Clock, type Logger, type Random } from "@ckmesh/core";
import {
  createLogger,
  cryptoRandom,
  type LoadConfigOptions,
  type LoadedConfig,
  loadConfig,
  printConfig,
  systemClock,
} from "@ckmesh/runtime";
import type { CliOptions } from "./cli-options.js";
import type { Output } from "./output.js";
import { readableLogLine } from "./readable-log.js";

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

/** What every program is given by its command. */
export interface ProgramDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

type Schema = Parameters<typeof loadConfig>[0]["schema"];

/**
 * Loads the configuration of a program: defaults < --config < CKMESH_… < flags. With --print-config prints it
 * instead and returns undefined.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function loadProgramConfig<const S extends Schema>(
  output: Output,
  options: CliOptions,
  load: Pick<LoadConfigOptions<S>, "schema" | "defaults" | "flags" | "flagNames" | "unknownKeys">,
): LoadedConfig<S> | undefined {
  // The log level is an option of the command, not of the program's configuration.
  const { CKMESH_LOG_LEVEL: _logLevel, ...env } = process.env;
  const loaded = loadConfig({ ...load, file: options.text("config"), envPrefix: "CKMESH_", env });
  if (options.flag("printConfig") !== true) return loaded;
  output.summary([printConfig(loaded, load.schema)], { config: printConfig(loaded, load.schema) });
  return undefined;
}

/**
 * The collaborators of a program; logs go to standard error, so that results stay alone on standard output: JSON
 * lines, but for a person at a terminal.
 */
export function programDeps(output: Output, options: CliOptions, warnings: readonly string[]): ProgramDeps {
  // A person sees the steps; a program that reads JSON lines gets the logs beside them.
  const fallback = output.mode.quiet ? "error" : output.mode.json ? "info" : "warn";
  const asked = options.text("logLevel") ?? process.env["CKMESH_LOG_LEVEL"] ?? fallback;
  const level = LOG_LEVELS.find((known) => known === asked);
  if (level === undefined)
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `--log-level must be one of ${LOG_LEVELS.join(", ")}, not ${JSON.stringify(asked)}`,
    );
  const { stderr } = process;
  const isForPeople = stderr.isTTY && !output.mode.json;
  const destination = isForPeople ? { write: (line: string) => stderr.write(readableLogLine(line)) } : stderr;
  const logger = createLogger({ level, destination });
  for (const warning of warnings) logger.warn({ warning }, "configuration warning");
  return { logger, clock: systemClock, random: cryptoRandom };
}
