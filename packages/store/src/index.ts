export { loadControl, type StoredControl, saveControl } from "./control-file.js";
export { DeltaFiles } from "./delta/delta-files.js";
export { DeltaRebuild, type DeltaRebuildOptions, type RebuiltFrames } from "./delta/delta-rebuild.js";
export { type DeltaOptions, type DeltaResult, makeDelta } from "./delta/make-delta.js";
export { type DeltaVerifyResult, verifyDelta } from "./delta/verify-delta.js";
export { HostFrameSource } from "./host/host-frames.js";
export type { HostIndexState } from "./host/host-messages.js";
export { HostIndex } from "./host-index.js";
export {
  type ImageRecord,
  NO_WASTE,
  type VersionRecord,
  type VersionState,
  type WastedBytes,
} from "./image-record.js";
export {
  ImageStore,
  imageFolder,
  listImages,
  listVersions,
  packKey,
  readRecord,
  type StoredVersion,
} from "./image-store.js";
export { indexKindOf } from "./index-kind.js";
export { indexOpaquePack, type OpaqueOptions } from "./opaque-index.js";
export { openIndex } from "./open-index.js";
export { type PackOptions, type PackResult, packImage } from "./pack-image.js";
export type { Progress, WorkOptions } from "./progress.js";
export { refuseExisting } from "./refuse-existing.js";
export { NO_SOURCE_BYTES, type RowSource, type SourceBytes } from "./row-source.js";
export { RowFiles } from "./row-files.js";
export { RowTable } from "./row-table.js";
export { fileErrorCode, storeError } from "./store-error.js";
export { versionPaths } from "./store-layout.js";
export { storedSourceBytes } from "./stored-source-bytes.js";
export { type UnpackFormat, type UnpackOptions, type UnpackResult, unpackImage } from "./unpack-image.js";
export { type VerifyOptions, type VerifyResult, verifyImage } from "./verify-image.js";
export { VersionFiles } from "./version-files.js";
export { syncFolder, writeAtomic } from "./write-atomic.js";
