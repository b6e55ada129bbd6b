export { addAccount } from "./account-file.js";
export {
  type OriginConfig,
  originConfigDefaults,
  originConfigSchema,
  originFlagNames,
} from "./config-schema.js";
export { type Origin, type OriginDeps, type Published, startOrigin } from "./start-origin.js";
