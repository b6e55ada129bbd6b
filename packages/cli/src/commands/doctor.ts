import {
  clientConfigDefaults,
  clientConfigSchema,
  type Finding,
  readOriginAccess,
  runDoctor,
} from "@ckmesh/client";
import { silentLogger } from "@ckmesh/core";
import { cryptoRandom, loadConfig, readKeyFile, systemClock } from "@ckmesh/runtime";
import { EXIT, exitCodeOf } from "../exit-codes.js";
import type { Action } from "../leaf.js";
import { originFlags } from "../origin-options.js";

const MARKS: Readonly<Record<Finding["status"], string>> = {
  ok: "ok",
  warning: "warning",
  failed: "FAILED",
  skipped: "skipped",
};

/** Shows each result as it comes; ends with the exit code of the first failure. */
export const doctor: Action = async ({ output, signal }, options) => {
  const url = options.arg(0);
  const { CKMESH_LOG_LEVEL: _logLevel, ...env } = process.env;
  const { config } = loadConfig({
    schema: clientConfigSchema,
    // A doctor keeps nothing.
    defaults: { ...clientConfigDefaults, store: "." },
    file: options.text("config"),
    envPrefix: "CKMESH_",
    env,
    unknownKeys: "warn",
    flags: {
      origin: url,
      tracker: options.text("tracker"),
      joinKeyFile: options.text("joinKeyFile"),
      ...originFlags(options),
    },
  });
  const image = options.text("image") ?? config.images[0];
  const { tracker, joinKeyFile } = config;
  const joinKey = joinKeyFile === undefined ? undefined : await readKeyFile(joinKeyFile, "joinKeyFile");
  const findings = await runDoctor({
    url,
    access: await readOriginAccess(config),
    ...(image !== undefined && { image }),
    ...(tracker !== undefined && { tracker }),
    ...(joinKey !== undefined && { joinKey }),
    clock: systemClock,
    random: cryptoRandom,
    logger: silentLogger,
    signal,
    onFinding: (finding) => {
      output.step("finding", findingText(finding), { ...finding });
    },
  });
  const count = (status: Finding["status"]): number => findings.filter((f) => f.status === status).length;
  const [failures, warnings] = [count("failed"), count("warning")];
  output.summary([`${url}: ${failures} failed, ${warnings} warnings, ${count("ok")} ok`], {
    url,
    failed: failures,
    warnings,
    findings,
  });
  const first = findings.find((finding) => finding.status === "failed");
  return first === undefined ? undefined : first.code === undefined ? EXIT.failed : exitCodeOf(first.code);
};

function findingText({ check, status, message, advice }: Finding): string {
  const hint = advice === undefined ? "" : `\n${" ".repeat(INDENT)}-> ${advice}`;
  return `${MARKS[status].padEnd(8)} ${check.padEnd(11)} ${message}${hint}`;
}

/** Where the message begins. */
const INDENT = 21;
