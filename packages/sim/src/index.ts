export { startUpdating, type UpdateSource } from "./delta-source.js";
export { type DeriveSource, startDeriving } from "./derive-source.js";
export { startCold } from "./donor-source.js";
export { EventLog } from "./event-log.js";
export { type HoldingOptions, startHolding } from "./holding-source.js";
export { type SimImage, simImage } from "./sim-image.js";
export type { NodeOptions, RowCounts, SimLink, SimNode } from "./sim-node.js";
export { SimOrigin } from "./sim-origin.js";
export { BAD_PIECE, SimSite, type SiteOptions } from "./sim-site.js";
