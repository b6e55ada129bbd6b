export { addAccount } from "./access/account-file.js";
export type { Published } from "./catalogue/publications.js";
export {
  type OriginConfig,
  originConfigDefaults,
  originConfigSchema,
  originFlagNames,
} from "./config/config-schema.js";
export { type Origin, type OriginDeps, startOrigin } from "./start-origin.js";
