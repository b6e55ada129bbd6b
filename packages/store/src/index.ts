export { loadControl, type StoredControl, saveControl } from "./control-file.js";
export { type CopiedPair, copyPair, type PairPaths } from "./copy-pair.js";
export { DeltaFiles } from "./delta/delta-files.js";
export { DeltaRebuild, type DeltaRebuildOptions, type RebuiltFrames } from "./delta/delta-rebuild.js";
export { type DeltaOptions, type DeltaResult, makeDelta } from "./delta/make-delta.js";
export { type DeltaVerifyResult, verifyDelta } from "./delta/verify-delta.js";
export { type DiskBase, type DiskPaths, openDiskBase } from "./disk-base.js";
export type { UnpackFormat } from "./disk-layout.js";
export { countDiskBytes, estimateDiskBytes } from "./disk-space.js";
export { provenFormat } from "./disk-stamp.js";
export { fileError } from "./file-error.js";
export { HostFrameSource } from "./host/host-frames.js";
export type { HostIndexState } from "./host/host-messages.js";
export { HostIndex } from "./host-index.js";
export {
  type DeltaBytes,
  type ImageRecord,
  NO_WASTE,
  type ShedPack,
  type VersionRecord,
  type VersionState,
  type WastedBytes,
} from "./image-record.js";
export { ImageStore, packKey } from "./image-store.js";
export { indexKindOf } from "./index-kind.js";
export { indexOpaquePack, type OpaqueOptions } from "./opaque-index.js";
export { openIndex } from "./open-index.js";
export { type PackOptions, type PackResult, packImage } from "./pack-image.js";
export type { Progress, WorkOptions } from "./progress.js";
export { refuseExisting } from "./refuse-existing.js";
export { RowFiles } from "./row-files.js";
export { NO_SOURCE_BYTES, ROW_SOURCES, type RowSource, type SourceBytes } from "./row-source.js";
export { RowTable } from "./row-table.js";
export { restorePack, shedPack } from "./shed-pack.js";
export { fileErrorCode, storeError } from "./store-error.js";
export { versionPaths } from "./store-layout.js";
export { storedSourceBytes } from "./stored-source-bytes.js";
export {
  imageFolder,
  listImages,
  listVersions,
  readRecord,
  type StoredVersion,
} from "./stored-versions.js";
export { type UnpackOptions, type UnpackResult, unpackImage } from "./unpack-image.js";
export { canPackFor } from "./usable-codecs.js";
export { type VerifyOptions, type VerifyResult, verifyImage } from "./verify-image.js";
export { VersionFiles } from "./version-files.js";
export { syncFolder, writeAtomic } from "./write-atomic.js";
