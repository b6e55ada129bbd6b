export { type DeriveSource, startDeriving } from "./derive-source.js";
export { startCold } from "./donor-source.js";
export { type SimImage, simImage } from "./sim-image.js";
export type { NodeOptions, RowCounts, SimNode } from "./sim-node.js";
export { BAD_PIECE, SimSite, type SiteOptions } from "./sim-site.js";
