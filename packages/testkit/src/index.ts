export { hasTool } from "./has-tool.js";
export { VirtualClock } from "./virtual-clock.js";
