import { AppError, isAppError } from "@ckmesh/core";
import { decodeHead, hasIndexMagic, type SignedHead } from "@ckmesh/image";
import type { OriginSource } from "./origin-rows.js";

/** One head found at the origin. */
export interface Offer {
  readonly signed: SignedHead;
  /** The first 4096 bytes of the index. */
  readonly block: Uint8Array;
  /** Of the alias. */
  readonly etag?: string;
  /** Index under a name of its own, beside a foreign `.ckm.index`. */
  readonly isFramesIndex: boolean;
}

/**
 * The head at the alias of an image.
 * @param etag of the head seen last; then undefined comes back when it is still that one
 * @throws {AppError} as `OriginHttp.fetchHead`; ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export async function fetchOffer(
  origin: OriginSource,
  image: string,
  etag: string | undefined,
  signal: AbortSignal,
): Promise<Offer | undefined> {
  const indexName = `${image}.ckm.index`;
  const conditions = { signal, ...(etag !== undefined && { ifNoneMatch: etag }) };
  const answer = await origin.fetchHead(indexName, conditions);
  if (answer.status === "unchanged") return undefined;
  const isFramesIndex = !hasIndexMagic(answer.bytes);
  const found = isFramesIndex ? await fetchFramesIndex(origin, image, conditions) : answer;
  if (found.status === "unchanged") return undefined;
  const signed = decodeHead(found.bytes);
  if (signed.head.name !== image) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `${indexName} at the origin is the index of ${signed.head.name}: its files were renamed, publish them under their own name`,
    );
  }
  return { signed, block: found.bytes, isFramesIndex, ...(found.etag !== undefined && { etag: found.etag }) };
}

/**
 * A lower version than the highest verified is refused, and so is another version of its number.
 * @throws {AppError} ERR_VERSION_REFUSED
 */
export function checkVersionRule(
  { head, idHex }: SignedHead,
  highest: { readonly version: number; readonly id: string } | undefined,
): void {
  if (highest === undefined) return;
  if (head.version < highest.version) {
    throw new AppError(
      "ERR_VERSION_REFUSED",
      `the origin offers ${head.name} version ${head.version}, but ${highest.version} was verified here: publish the old content as version ${highest.version + 1}`,
    );
  }
  if (head.version === highest.version && idHex !== highest.id) {
    throw new AppError(
      "ERR_VERSION_REFUSED",
      `the origin offers another ${head.name} version ${head.version} than the one verified here: a version never changes, publish it as ${head.version + 1}, and find out who replaced it`,
      { details: { offered: idHex, verified: highest.id } },
    );
  }
}

async function fetchFramesIndex(
  origin: OriginSource,
  image: string,
  conditions: { readonly signal: AbortSignal; readonly ifNoneMatch?: string },
): ReturnType<OriginSource["fetchHead"]> {
  try {
    return await origin.fetchHead(`${image}.ckm.frames.index`, conditions);
  } catch (err) {
    if (!isAppError(err, "ERR_IMAGE_NOT_FOUND")) throw err;
    throw new AppError(
      "ERR_INDEX_INVALID",
      `${image}.ckm.index at the origin is no ckmesh index, and there is no ${image}.ckm.frames.index: pack the image with "ckmesh pack"`,
    );
  }
}
