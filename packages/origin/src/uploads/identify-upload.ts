import { AppError } from "@ckmesh/core";
import { isOurIndex } from "../publish/opaque-pack.js";
import type { VerifiedIndex } from "../publish/verify-pair.js";
import { fileKey } from "../serve/served-path.js";
import type { UploadContent } from "./pairing.js";
import type { Upload } from "./upload.js";
import { readVersionId } from "./upload-watch.js";

export interface IdentifyOptions {
  readonly publishers: readonly Uint8Array[];
  /** A signed index of a pack that is not ours is here. */
  readonly isOpaqueExpected: boolean;
  readonly verifyIndex: (publishers: readonly Uint8Array[]) => Promise<VerifiedIndex>;
}

export interface IdentifiedUpload {
  readonly content: UploadContent;
  /** With content `index`. */
  readonly index: VerifiedIndex | undefined;
}

/**
 * Looks at what a complete file is. An index of ours is checked whole, of a pack the header is read.
 * @throws {AppError} ERR_PACK_INVALID, ERR_INDEX_INVALID, ERR_SIGNATURE_INVALID when it can be no half of an image
 *   under its name; as `verifyIndex`
 */
export async function identifyUpload(
  { target, path, total }: Pick<Upload, "target" | "path"> & { readonly total: number },
  { publishers, isOpaqueExpected, verifyIndex }: IdentifyOptions,
): Promise<IdentifiedUpload> {
  const isPack = target.kind === "pack";
  if (total === 0) throw new AppError(isPack ? "ERR_PACK_INVALID" : "ERR_INDEX_INVALID", "the file is empty");
  const versionId = isPack ? await readVersionId(path) : undefined;
  if (versionId !== undefined) return { content: { type: "pack", versionId }, index: undefined };
  if (isPack || !(await isOurIndex(path))) {
    if (publishers.length > 0 && !(isPack && isOpaqueExpected)) {
      throw new AppError(
        "ERR_SIGNATURE_INVALID",
        "it is no file of ckmesh, so it cannot be signed, and publishers are configured",
      );
    }
    return { content: { type: isPack ? "foreign-pack" : "foreign-index" }, index: undefined };
  }
  const index = await verifyIndex(publishers);
  const { id, name, version, isOpaque } = index;
  if (fileKey(name) !== fileKey(target.image) || (target.version ?? version) !== version) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the index is of ${name} version ${version}, but was uploaded as ${target.fileName}`,
    );
  }
  return { content: { type: "index", versionId: id, isOpaque }, index };
}
