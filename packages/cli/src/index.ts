export { CkmeshProcess } from "./demo/ckmesh-process.js";
export { type ClientResult, type FleetProgress, LoopbackFleet } from "./demo/loopback-fleet.js";
export { assertSameFiles } from "./demo/same-files.js";
export { EXIT, type ExitCode } from "./exit-codes.js";
