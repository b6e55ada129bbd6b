export { type Background, lowerProcessPriority } from "./background.js";
export { DeltaFiles } from "./delta/delta-files.js";
export { DeltaRebuild, type DeltaRebuildOptions, type RebuiltFrames } from "./delta/delta-rebuild.js";
export { type DeltaOptions, type DeltaResult, makeDelta } from "./delta/make-delta.js";
export { StepFiles } from "./delta/step-files.js";
export { type DeltaVerifyResult, verifyDelta } from "./delta/verify-delta.js";
export { type DiskBase, type DiskPaths, openDiskBase } from "./disk/disk-base.js";
export type { UnpackFormat } from "./disk/disk-layout.js";
export { countDiskBytes, estimateDiskBytes } from "./disk/disk-space.js";
export { provenFormat } from "./disk/disk-stamp.js";
export { type UnpackOptions, type UnpackResult, unpackImage } from "./disk/unpack-image.js";
export { fileError } from "./files/file-error.js";
export { IoPacer } from "./files/io-pacer.js";
export { fileErrorCode, storeError } from "./files/store-error.js";
export { syncFolder } from "./files/sync-folder.js";
export { writeAtomic } from "./files/write-atomic.js";
export { HostFrameSource } from "./host/host-frames.js";
export type { HostIndexState } from "./host/host-messages.js";
export type { HostScanResult } from "./host/host-scan.js";
export { HostIndex } from "./host-index.js";
export { indexKindOf } from "./pack/index-kind.js";
export { indexOpaquePack, type OpaqueOptions } from "./pack/opaque-index.js";
export { openIndex } from "./pack/open-index.js";
export { type PackOptions, type PackResult, packImage } from "./pack/pack-image.js";
export { canPackFor, canPackNew } from "./pack/usable-codecs.js";
export { type VerifyOptions, type VerifyResult, verifyImage } from "./pack/verify-image.js";
export { type CopiedPair, copyPair, type PairPaths } from "./pairs/copy-pair.js";
export { refuseExisting } from "./pairs/refuse-existing.js";
export type { Progress, WorkOptions } from "./progress.js";
export { loadControl, type StoredControl, saveControl } from "./versions/control-file.js";
export { decodedSpace, MOST_DECODED_BYTES, unpackableSpace } from "./versions/decoded-space.js";
export {
  type DeltaBytes,
  type ImageRecord,
  NO_WASTE,
  type ShedPack,
  type VersionRecord,
  type VersionState,
  type WastedBytes,
} from "./versions/image-record.js";
export type { ImageRows } from "./versions/image-rows.js";
export { ImageStore, packKey } from "./versions/image-store.js";
export type { RowFiles } from "./versions/row-files.js";
export { NO_SOURCE_BYTES, ROW_SOURCES, type RowSource, type SourceBytes } from "./versions/row-source.js";
export { RowTable } from "./versions/row-table.js";
export { restorePack, shedPack } from "./versions/shed-pack.js";
export { versionPaths } from "./versions/store-layout.js";
export { storedSourceBytes } from "./versions/stored-source-bytes.js";
export {
  imageFolder,
  listImages,
  listVersions,
  readRecord,
  type StoredVersion,
} from "./versions/stored-versions.js";
export { VersionFiles } from "./versions/version-files.js";
