import { startTracker, trackerConfigSchema } from "@ckmesh/tracker";
import type { Action } from "../leaf.js";
import { loadProgramConfig } from "../program-setup.js";
import { serverDeps } from "../server-deps.js";
import { untilAborted } from "../until-aborted.js";

/** Runs a tracker until it is told to stop. */
export const tracker: Action = async ({ output, signal }, options) => {
  const loaded = loadProgramConfig(output, options, {
    schema: trackerConfigSchema,
    defaults: {},
    unknownKeys: "error",
    flags: {
      listen: options.text("listen"),
      tlsListen: options.text("tlsListen"),
      tlsCert: options.text("tlsCert"),
      tlsKey: options.text("tlsKey"),
      fleetKeyFile: options.text("fleetKeyFile"),
      joinKeyFile: options.text("joinKeyFile"),
      open: options.flag("open"),
      state: options.text("state"),
    },
  });
  if (loaded === undefined) return undefined;
  const running = await startTracker(loaded.config, await serverDeps(output, options, loaded.warnings));
  try {
    output.step("ready", `tracker listens at ${running.urls.join(" and ")}`, { urls: running.urls });
    await untilAborted(signal);
  } finally {
    await running.close();
  }
  output.summary(["tracker stopped"], {});
  return undefined;
};
