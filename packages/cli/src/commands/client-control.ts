import type { ClientStatus } from "@ckmesh/client";
import { type ControlRequest, controlStore, MAX_OVERRIDE_MS, parseWanCap } from "@ckmesh/client";
import { AppError, type Logger, parseDuration } from "@ckmesh/core";
import { createLogger, systemClock } from "@ckmesh/runtime";
import type { CliOptions } from "../cli-options.js";
import { parseWhole } from "../cli-options.js";
import { statusFacts, statusLines, wanText } from "../client-reporter.js";
import type { Action } from "../leaf.js";
import type { Output } from "../output.js";
import { parseClientStatus } from "../parse-client-status.js";

/** `client status`: with or without a running client. */
export const status: Action = async ({ output }, options) => {
  const found = await control(options, { command: "status" });
  output.summary(statusLines(found), statusFacts(found));
  return undefined;
};

/** `client check`: the running client looks for new versions at once. */
export const check: Action = async ({ output }, options) => {
  const found = await control(options, { command: "check" });
  output.summary(["the client checks now"], statusFacts(found));
  return undefined;
};

/** `client accept NAME [VERSION]`. */
export const accept: Action = async ({ output }, options) => decide(output, options, "accept");

/** `client rollback NAME [VERSION]`. */
export const rollback: Action = async ({ output }, options) => decide(output, options, "rollback");

/** `client limit off|slow|full|RATE|auto --for DURATION`. */
export const limit: Action = async ({ output }, options) => {
  const text = options.arg(0);
  const forMs = parseDuration(options.requiredText("for"));
  if (!(forMs > 0 && forMs <= MAX_OVERRIDE_MS))
    throw new AppError("ERR_USAGE", "--for must be more than 0 and at most 7d");
  const cap = text === "auto" ? undefined : parseWanCap(text);
  const found = await control(options, { command: "limit", forMs, ...(cap !== undefined && { cap }) });
  output.summary(found.wan === undefined ? [] : [wanText(found.wan)], statusFacts(found));
  return undefined;
};

async function decide(
  output: Output,
  options: CliOptions,
  command: "accept" | "rollback",
): Promise<undefined> {
  const image = options.arg(0);
  const text = options.optionalArg(1);
  const version = text === undefined ? undefined : parseWhole("VERSION", text, 1, Number.MAX_SAFE_INTEGER);
  const found = await control(options, { command, image, ...(version === undefined ? {} : { version }) });
  const done = command === "accept" ? "accepted" : "rolled back";
  output.summary([...statusLines(found).slice(0, -1), `${image} ${done}`], statusFacts(found));
  return undefined;
}

async function control(options: CliOptions, request: ControlRequest): Promise<ClientStatus> {
  const deps = { logger: problemsToStderr(), clock: systemClock };
  return parseClientStatus(await controlStore(options.requiredText("store"), request, deps));
}

function problemsToStderr(): Logger {
  return createLogger({ level: "warn", destination: process.stderr });
}
