export { type TrackerConfig, trackerConfigSchema } from "./config-schema.js";
export type { StoredReport } from "./report-board.js";
export { startTracker, type Tracker, type TrackerDeps } from "./start-tracker.js";
export type { TrackerStatus } from "./tracker-driver.js";
export { WARM_UP_MS } from "./tracker-rules.js";
