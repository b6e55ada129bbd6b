export {
  AdminApi,
  type Deletion,
  type ImageVersions,
  type ListedImage,
  type ListedVersion,
  type VersionDetails,
} from "./admin-api.js";
export type { ControlOrder } from "./control-edit.js";
export { ImageFolder } from "./image-folder.js";
export { type OpenVersion, openVersion, type VersionToUpload } from "./open-version.js";
export { rollbackSource, rollbackVersion } from "./rollback-version.js";
export { sendOrder } from "./send-order.js";
export type { UploadWorld } from "./upload-file.js";
export { UploadPacer } from "./upload-pacer.js";
export { UploadResumeFile } from "./upload-resume-file.js";
export type { UploadSource } from "./upload-source.js";
export {
  type UploadProgress,
  uploadVersion,
  type VersionUpload,
  type VersionUploaded,
} from "./upload-version.js";
