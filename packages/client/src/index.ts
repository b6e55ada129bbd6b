export type { OnceResult } from "./client.js";
export type { ClientDeps } from "./client-context.js";
export { type ClientConfig, clientConfigDefaults, clientConfigSchema } from "./config/config-schema.js";
export {
  type OriginAccess,
  type OriginConfig,
  originConfigDefaults,
  originConfigProperties,
  originConfigSchema,
  readOriginAccess,
} from "./config/origin-config.js";
export { callLocalApi } from "./control/call-local-api.js";
export type { ControlRequest } from "./control/control-request.js";
export { type ControlDeps, controlStore } from "./control/control-store.js";
export { exportPair } from "./disk/export-pair.js";
export type { Finding } from "./doctor/finding.js";
export { runDoctor } from "./doctor/run-doctor.js";
export { importIntoStore } from "./staging/import-pairs.js";
export type { ImportedPair } from "./staging/imported-pair.js";
export { type RunningClient, startClient } from "./start-client.js";
export type {
  ClearanceStatus,
  ClientStatus,
  ControlStatus,
  ImageStatus,
  StatusError,
  VersionStatus,
  WanStatus,
} from "./status.js";
export type { TrimStatus } from "./trim/host-trim.js";
export { parseWanCap, type WanCap } from "./wan/wan-cap.js";
export { MAX_OVERRIDE_MS } from "./wan/wan-control.js";
