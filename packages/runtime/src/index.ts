export { createLogger, type LoggerOptions } from "./create-logger.js";
export { createMetrics, type PrometheusMetrics } from "./create-metrics.js";
export { cryptoRandom } from "./crypto-random.js";
export { type LoadConfigOptions, type LoadedConfig, loadConfig } from "./load-config.js";
export { onShutdown, type ShutdownOptions } from "./on-shutdown.js";
export { formatListen, type ListenAddress, parseListen } from "./parse-listen.js";
export { printConfig } from "./print-config.js";
export { readKeyFile } from "./read-key-file.js";
export { systemClock } from "./system-clock.js";
