export type { ByteSource } from "./byte-source.js";
export { carryOverPieces, type NewIndex, type OldIndex } from "./carry-over.js";
export { changedPages, type DiskContent } from "./changed-pages.js";
export {
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  FRAME_SECTORS,
  HASH_BYTES,
  HEAD_BYTES,
  MAX_CODECS,
  MAX_LEVEL,
  MAX_PACKED_FRAME_BYTES,
  MAX_ROWS,
  PACK_HEADER_BYTES,
  PAGE_BYTES,
  PAGE_SECTORS,
  RAW_HASH_BYTES,
  SECTOR_BYTES,
  SECTOR_ID_BYTES,
} from "./constants.js";
export { containerSegments } from "./container.js";
export {
  checkControlSuccession,
  checkControlTrust,
  decodeControl,
  encodeControl,
  hasControlMagic,
} from "./control/control-codec.js";
export { controlFileName, parseControlFileName } from "./control/control-name.js";
export {
  type ControlRecord,
  emptyControl,
  type FailureLimit,
  MAX_CONTROL_BYTES,
  nextControlSerial,
  type Ring,
  type Rollout,
  rolloutOf,
  type SignedControl,
  type Withdrawal,
  withdrawalOf,
} from "./control/control-record.js";
export {
  type Clearance,
  clearanceOf,
  type Follower,
  lowestAllowed,
  ringPosition,
} from "./control/rollout-decision.js";
export { isRolloutOver } from "./control/rollout-end.js";
export { type AnyHead, decodeAnyHead } from "./delta/any-head.js";
export { buildDeltaIndex } from "./delta/delta-builder.js";
export { DeltaFile } from "./delta/delta-file.js";
export { checkDeltaEnds, checkDeltaFits, type DeltaParts } from "./delta/delta-fit.js";
export { decodeDeltaHead } from "./delta/delta-head-codec.js";
export {
  DeltaRefs,
  DeltaRefsWriter,
  MAX_DICTIONARY_RUNS,
  MAX_DICTIONARY_SECTORS,
} from "./delta/delta-refs.js";
export { MAX_FINGERPRINTS } from "./delta/fingerprint-scan.js";
export {
  type BaseFingerprints,
  bucketAt,
  type FingerprintPlan,
  FingerprintTable,
  planFingerprints,
} from "./delta/fingerprint-table.js";
export { FingerprintList } from "./delta/fingerprints.js";
export { framesMissingFrom } from "./delta/missing-frames.js";
export { ReferenceFrames } from "./delta/reference-frames.js";
export { ReferenceSearch } from "./delta/reference-search.js";
export { referredFrames } from "./delta/referred-frames.js";
export { DiskExtents, type ExtentArrays } from "./disk-extents.js";
export { type DiskFile, describeDiskFile, type ForeignFormat, foreignFormat } from "./disk-file.js";
export { type DiskShape, diskPages, diskSectors, gridPad, pageBytes } from "./disk-grid.js";
export { FrameTable, type SharedFrameTable, writeFrameRecord } from "./frame-table.js";
export { hasIndexMagic } from "./head-block.js";
export { decodeHead } from "./head-codec.js";
export {
  deltaIndexFileName,
  deltaPackFileName,
  indexFileName,
  packFileName,
  parseImageName,
  parseServedName,
} from "./image-name.js";
export { type BuiltIndex, buildIndex } from "./index-builder.js";
export { IndexFile } from "./index-file.js";
export {
  type CodecEntry,
  type DeltaHead,
  type DiskFormat,
  type HeadCommon,
  type IndexHead,
  isOpaquePack,
  type PackFacts,
  type Section,
  type SectionKind,
  type SignedHead,
} from "./index-head.js";
export { decodeKept } from "./kept-frames.js";
export { checkPackHeader, encodePackHeader, hasPackMagic, packHeaderId } from "./pack-header.js";
export { PieceHashes } from "./piece-hashes.js";
export { type Renumbering, renumberIndex } from "./renumber-index.js";
export { RowLayout } from "./row-layout.js";
export { indexLength, SectionFile } from "./section-file.js";
export { SectorMapCursor, SectorMapWriter } from "./sector-map.js";
export { publicKeyBytes, type TrustPolicy } from "./signatures.js";
export { deriveSwarmKeys } from "./swarm-keys.js";
export { checkTrust } from "./trust.js";
export { fixedVhdFooter, MAX_VHD_BYTES, VHD_SECTOR_BYTES } from "./vhd.js";
export { checkZstdFrame } from "./zstd-frame.js";
