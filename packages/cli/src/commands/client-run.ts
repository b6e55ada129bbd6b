import { clientConfigDefaults, clientConfigSchema, type RunningClient, startClient } from "@ckmesh/client";
import { AppError } from "@ckmesh/core";
import { parseWhole } from "../cli-options.js";
import { ClientReporter } from "../client-reporter.js";
import type { Action } from "../leaf.js";
import { loadProgramConfig, programDeps } from "../program-setup.js";
import { untilAborted } from "../until-aborted.js";

/** How often progress is looked at, ms; a change of state shows at once. */
const WATCH_EVERY_MS = 500;
const MAX_SEED_SECONDS = 86_400 * 365;

/** Runs a client until it is told to stop; with --once until everything is fetched. */
export const clientRun: Action = async ({ output, signal }, options) => {
  const seedFor = options.text("seedFor");
  const loaded = loadProgramConfig(output, options, {
    schema: clientConfigSchema,
    defaults: clientConfigDefaults,
    unknownKeys: "warn",
    flagNames: { images: "--image", siteNetworks: "--site-network", wanTimetable: "--wan-timetable" },
    flags: {
      origin: options.text("origin"),
      store: options.text("store"),
      tracker: options.text("tracker"),
      images: options.list("image"),
      site: options.text("site"),
      listen: options.text("listen"),
      siteNetworks: options.list("siteNetwork"),
      joinKeyFile: options.text("joinKeyFile"),
      allowOpenSwarm: options.flag("allowOpenSwarm"),
      wanBudget: options.text("wanBudget"),
      wanTimetable: options.list("wanTimetable"),
      materialize: options.text("materialize"),
      user: options.text("user"),
      passwordFile: options.text("passwordFile"),
      ca: options.text("ca"),
      once: options.flag("once"),
      seedFor: seedFor === undefined ? undefined : parseWhole("--seed-for", seedFor, 0, MAX_SEED_SECONDS),
    },
  });
  if (loaded === undefined) return undefined;
  const { config, warnings } = loaded;
  if (config.seedFor > 0 && !config.once)
    throw new AppError("ERR_USAGE", "--seed-for works together with --once");
  const reporter = new ClientReporter(output);
  let running: RunningClient | undefined;
  const show = (): void => {
    if (running !== undefined) reporter.show(running.status());
  };
  const client = await startClient(config, { ...programDeps(output, options, warnings), onChange: show });
  running = client;
  try {
    output.step("ready", `client runs: store ${config.store}, origin ${config.origin}`, {
      store: config.store,
      origin: config.origin,
      peerPort: client.peerPort,
    });
    await watch(client, show, config.once, signal);
    reporter.summary(client.status());
  } finally {
    await client.close();
  }
  return undefined;
};

/** Reports until `signal`, or with `isOnce` until the client is done. */
async function watch(
  client: RunningClient,
  show: () => void,
  isOnce: boolean,
  signal: AbortSignal,
): Promise<void> {
  const timer = setInterval(show, WATCH_EVERY_MS);
  try {
    const stopped = untilAborted(signal);
    if (isOnce) {
      await Promise.race([client.done, stopped]);
      signal.throwIfAborted();
    } else {
      await stopped;
    }
  } finally {
    clearInterval(timer);
  }
}
