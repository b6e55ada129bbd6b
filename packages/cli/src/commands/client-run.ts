import { clientConfigDefaults, clientConfigSchema, type RunningClient, startClient } from "@ckmesh/client";
import { AppError, noMetrics } from "@ckmesh/core";
import { parseWhole } from "../cli-options.js";
import { ClientReporter } from "../client-reporter.js";
import { ClientWatch } from "../client-watch.js";
import type { Action } from "../leaf.js";
import { originFlags } from "../origin-options.js";
import { loadProgramConfig, programDeps } from "../program-setup.js";
import { untilAborted } from "../until-aborted.js";

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
      preStage: options.text("preStage"),
      materialize: options.text("materialize"),
      ...originFlags(options),
      once: options.flag("once"),
      seedFor: seedFor === undefined ? undefined : parseWhole("--seed-for", seedFor, 0, MAX_SEED_SECONDS),
    },
  });
  if (loaded === undefined) return undefined;
  const { config, warnings } = loaded;
  if (config.seedFor > 0 && !config.once)
    throw new AppError("ERR_USAGE", "--seed-for works together with --once");
  const deps = programDeps(output, options, warnings);
  const reporter = new ClientReporter(output);
  const watch = new ClientWatch(reporter, deps.clock);
  const client = await startClient(config, {
    ...deps,
    metrics: noMetrics, // nobody could read them
    onChange: () => watch.look(),
  });
  try {
    output.step("ready", `client runs: store ${config.store}, origin ${config.origin}`, {
      store: config.store,
      origin: config.origin,
      peerPort: client.peerPort,
    });
    watch.start(client);
    await ended(client, config.once, signal);
    reporter.summary(client.status());
  } finally {
    watch.stop();
    await client.close();
  }
  return undefined;
};

/** Waits for `signal`, or with `isOnce` until the client is done. */
async function ended(client: RunningClient, isOnce: boolean, signal: AbortSignal): Promise<void> {
  const stopped = untilAborted(signal);
  if (!isOnce) return await stopped;
  await Promise.race([client.done, stopped]);
  signal.throwIfAborted();
}
