import { AppError } from "@ckmesh/core";
import { originConfigDefaults, originConfigSchema, originFlagNames, startOrigin } from "@ckmesh/origin";
import type { Action } from "../leaf.js";
import { mountTracker, ownFleetKey, reportToTracker } from "../origin-tracker.js";
import { loadProgramConfig } from "../program-setup.js";
import { serverDeps } from "../server-deps.js";
import { untilAborted } from "../until-aborted.js";

/** Runs an origin, with a tracker if asked for, until it is told to stop. */
export const origin: Action = async ({ output, signal }, options) => {
  const loaded = loadProgramConfig(output, options, {
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    unknownKeys: "error",
    flagNames: originFlagNames,
    flags: {
      "virtualDirectory.physicalPath": options.text("root"),
      "authentication.anonymous.enabled": options.flag("anonymous"),
      listen: options.text("listen"),
      tlsListen: options.text("tlsListen"),
      tlsCert: options.text("tlsCert"),
      tlsKey: options.text("tlsKey"),
      fleetKeyFile: options.text("fleetKeyFile"),
      state: options.text("state"),
      tracker: options.text("tracker"),
    },
  });
  if (loaded === undefined) return undefined;
  const isTrackerMounted = options.flag("withTracker") === true;
  if (isTrackerMounted && loaded.config.tracker !== undefined)
    throw new AppError("ERR_USAGE", "give --tracker or --with-tracker, not both");
  const deps = serverDeps(output, options, loaded.warnings);
  const fleetKeyFile =
    loaded.config.fleetKeyFile ?? (isTrackerMounted ? await ownFleetKey(loaded.config) : undefined);
  const config = { ...loaded.config, ...(fleetKeyFile === undefined ? {} : { fleetKeyFile }) };
  const closers: (() => Promise<void>)[] = [];
  try {
    const running = await startOrigin(config, deps);
    closers.unshift(async () => running.close());
    running.onPublished(({ image, version }) => {
      output.step("published", `${image} version ${version} published`, { image, version });
    });
    if (isTrackerMounted) closers.unshift(await mountTracker(running, config, deps));
    else if (config.tracker !== undefined)
      closers.unshift(await reportToTracker(running, config.tracker, options.text("trackerCa"), deps));
    output.step("ready", `origin serves ${running.urls.join(" and ")}`, { urls: running.urls });
    await untilAborted(signal);
  } finally {
    for (const close of closers) await close();
  }
  output.summary(["origin stopped"], {});
  return undefined;
};
