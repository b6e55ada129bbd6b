import { AppError, isAppError } from "@ckmesh/core";
import { decodeHead, hasIndexMagic, packFileName, type SignedHead } from "@ckmesh/image";
import type { OriginSource } from "../rows/origin-rows.js";

/** One head found at the origin. */
export interface Offer {
  readonly signed: SignedHead;
  /** The first 4096 bytes of the index. */
  readonly block: Uint8Array;
  /** Of the alias. */
  readonly etag?: string;
  /** Index under a name of its own, beside a foreign `.ckm.index`. */
  readonly isFramesIndex: boolean;
  /** Of a pair that somebody copied here: it did not come from the origin. */
  readonly isCopy?: boolean;
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
  return fetchHeadOf(origin, image, `${image}.ckm`, {
    signal,
    ...(etag !== undefined && { ifNoneMatch: etag }),
  });
}

/**
 * The head at the URL of one version.
 * @throws {AppError} as `fetchOffer`; ERR_IMAGE_NOT_FOUND where the origin does not have this version
 */
export async function fetchVersionOffer(
  origin: OriginSource,
  image: string,
  version: number,
  signal: AbortSignal,
): Promise<Offer> {
  const pack = packFileName(image, version);
  const offer = await fetchHeadOf(origin, image, pack, { signal });
  if (offer === undefined) throw new AppError("ERR_ORIGIN_INVALID", `no head of ${pack}.index was sent`);
  if (offer.signed.head.version !== version) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `${pack}.index at the origin is the index of version ${offer.signed.head.version}: its files were renamed`,
    );
  }
  // Of the version's own URL: it says nothing of the alias.
  const { etag: _, ...rest } = offer;
  return rest;
}

/** @param pack file name of the pack, to which that of the index belongs */
async function fetchHeadOf(
  origin: OriginSource,
  image: string,
  pack: string,
  conditions: { readonly signal: AbortSignal; readonly ifNoneMatch?: string },
): Promise<Offer | undefined> {
  const indexName = `${pack}.index`;
  const answer = await origin.fetchHead(indexName, conditions);
  if (answer.status === "unchanged") return undefined;
  const isFramesIndex = !hasIndexMagic(answer.bytes);
  const found = isFramesIndex ? await fetchFramesIndex(origin, pack, conditions) : answer;
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

/** What was verified on this machine. */
export interface VersionRule {
  /** Nothing below it is taken: the highest version verified, or what its withdrawal leaves. */
  readonly lowest: number;
  /** Ids of verified versions, hexadecimal. */
  readonly verified: ReadonlyMap<number, string>;
}

/**
 * A version below the lowest one allowed is refused, and so is another version of a number that was verified.
 * @throws {AppError} ERR_VERSION_REFUSED
 */
export function checkVersionRule({ head, idHex }: SignedHead, { lowest, verified }: VersionRule): void {
  if (head.version < lowest) {
    throw new AppError(
      "ERR_VERSION_REFUSED",
      `${head.name} version ${head.version} is offered, but ${lowest} was verified here: publish the old content as version ${Math.max(lowest, ...verified.keys()) + 1}, or withdraw the newer one`,
    );
  }
  const known = verified.get(head.version);
  if (known !== undefined && known !== idHex) {
    throw new AppError(
      "ERR_VERSION_REFUSED",
      `another ${head.name} version ${head.version} is offered than the one verified here: a version never changes, publish it as ${head.version + 1}, and find out who replaced it`,
      { details: { offered: idHex, verified: known } },
    );
  }
}

async function fetchFramesIndex(
  origin: OriginSource,
  pack: string,
  conditions: { readonly signal: AbortSignal; readonly ifNoneMatch?: string },
): ReturnType<OriginSource["fetchHead"]> {
  try {
    return await origin.fetchHead(`${pack}.frames.index`, conditions);
  } catch (err) {
    if (!isAppError(err, "ERR_IMAGE_NOT_FOUND")) throw err;
    throw new AppError(
      "ERR_INDEX_INVALID",
      `${pack}.index at the origin is no ckmesh index, and there is no ${pack}.frames.index: pack the image with "ckmesh pack"`,
    );
  }
}
