export {
  FRAME_BYTES,
  FRAME_SECTORS,
  HEAD_BYTES,
  MAX_PACKED_FRAME_BYTES,
  PACK_HEADER_BYTES,
  PAGE_BYTES,
  SECTOR_BYTES,
} from "./constants.js";
export { FrameLookup } from "./frame-lookup.js";
export { FrameTable } from "./frame-table.js";
export { decodeHead, encodeHead, hasIndexMagic } from "./head-codec.js";
export {
  indexFileName,
  packFileName,
  parseImageName,
  parseServedName,
  type ServedName,
} from "./image-name.js";
export type { IndexHead, Section, SectionKind, SignedHead } from "./index-head.js";
export { PieceHashes } from "./piece-hashes.js";
export { type Piece, RowLayout } from "./row-layout.js";
export { layOutSections } from "./section-layout.js";
export { deriveSwarmKeys, type SwarmKeys } from "./swarm-keys.js";
export { checkTrust, publicKeyBytes, type TrustPolicy } from "./trust.js";
