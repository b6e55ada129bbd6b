import { AppError } from "@ckmesh/core";
import {
  type OriginConfig,
  originConfigDefaults,
  originConfigSchema,
  originFlagNames,
  startOrigin,
} from "@ckmesh/origin";
import type { CliOptions } from "../cli-options.js";
import type { Action } from "../leaf.js";
import { reloadOrigin } from "../origin-reload.js";
import { mountTracker, ownFleetKey, reportToTracker } from "../origin-tracker.js";
import type { Output } from "../output.js";
import { loadProgramConfig } from "../program-setup.js";
import { reloadOnHangup } from "../reload-on-hangup.js";
import { serverDeps } from "../server-deps.js";
import { untilAborted } from "../until-aborted.js";

/** Runs an origin, with a tracker if asked for, until it is told to stop. */
export const origin: Action = async ({ output, signal }, options) => {
  const loaded = load(output, options);
  if (loaded === undefined) return undefined;
  const isTrackerMounted = options.flag("withTracker") === true;
  if (isTrackerMounted && loaded.config.tracker !== undefined)
    throw new AppError("ERR_USAGE", "give --tracker or --with-tracker, not both");
  const deps = await serverDeps(output, options, loaded.warnings);
  const needsKey = isTrackerMounted && loaded.config.fleetKeyFile === undefined;
  const ownKey = needsKey ? { fleetKeyFile: await ownFleetKey(loaded.config) } : {};
  const complete = (config: OriginConfig): OriginConfig => ({ ...ownKey, ...config });
  const config = complete(loaded.config);
  const closers: (() => Promise<void>)[] = [];
  try {
    const running = await startOrigin(config, deps);
    closers.unshift(async () => running.close());
    running.onPublished(({ image, version, isAliasMove }) => {
      if (isAliasMove)
        output.step("alias", `the alias of ${image} stands for version ${version} now`, { image, version });
      else output.step("published", `${image} version ${version} published`, { image, version });
    });
    if (isTrackerMounted) closers.unshift(await mountTracker(running, config, deps));
    else if (config.tracker !== undefined)
      closers.unshift(await reportToTracker(running, config.tracker, options.text("trackerCa"), deps));
    const loadAgain = (): OriginConfig => complete(load(output, options)?.config ?? config);
    const stopReload = reloadOnHangup(() => reloadOrigin(running, loadAgain, output, deps.logger));
    closers.unshift(async () => stopReload());
    output.step("ready", `origin serves ${running.urls.join(" and ")}`, { urls: running.urls });
    await untilAborted(signal);
  } finally {
    for (const close of closers) await close();
  }
  output.summary(["origin stopped"], {});
  return undefined;
};

/** Undefined: the configuration was printed, and that was all. */
function load(output: Output, options: CliOptions) {
  return loadProgramConfig(output, options, {
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    unknownKeys: "error",
    flagNames: originFlagNames,
    flags: {
      "virtualDirectory.physicalPath": options.text("root"),
      "authentication.anonymous.enabled": options.flag("anonymous"),
      listen: options.text("listen"),
      tlsListen: options.text("tlsListen"),
      certListen: options.text("certListen"),
      tlsCert: options.text("tlsCert"),
      tlsKey: options.text("tlsKey"),
      fleetKeyFile: options.text("fleetKeyFile"),
      state: options.text("state"),
      tracker: options.text("tracker"),
    },
  });
}
