import { originConfigDefaults, originConfigSchema, startOrigin } from "@ckmesh/origin";
import { createLogger, createMetrics, cryptoRandom, loadConfig, systemClock } from "@ckmesh/runtime";
import { tellCpu } from "./child-cpu.js";

// Child of origin-bench.ts: an origin as it runs in production (request log on), told to its parent when ready.
const flags: unknown = JSON.parse(process.argv[2] ?? "{}");
if (typeof flags !== "object" || flags === null) throw new Error("unreachable: flags are an object");
const { config } = loadConfig({
  schema: originConfigSchema,
  defaults: originConfigDefaults,
  envPrefix: "CKMESH_",
  env: {},
  unknownKeys: "error",
  flags: { ...flags },
});
const logger = createLogger({ level: "warn", destination: process.stderr });
const origin = await startOrigin(config, {
  logger,
  metrics: await createMetrics(),
  clock: systemClock,
  random: cryptoRandom,
});
process.send?.({ urls: origin.urls });
tellCpu();
process.on("disconnect", () => {
  process.exit(0);
});
