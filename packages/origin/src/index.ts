export { addAccount } from "./account-file.js";
export {
  type OriginConfig,
  originConfigDefaults,
  originConfigSchema,
  originFlagNames,
} from "./config-schema.js";
export type { Published } from "./publications.js";
export { type Origin, type OriginDeps, startOrigin } from "./start-origin.js";
