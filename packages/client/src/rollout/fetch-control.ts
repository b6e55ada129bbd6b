import { isAppError } from "@ckmesh/core";
import { controlFileName, hasControlMagic, MAX_CONTROL_BYTES } from "@ckmesh/image";
import type { OriginSource } from "../rows/origin-rows.js";

export type ControlAnswer =
  /** There is none; `isForeign`: the server sends something else in its place. */
  | { readonly type: "none"; readonly isForeign: boolean }
  | { readonly type: "unchanged"; readonly held: readonly number[] }
  | {
      readonly type: "found";
      readonly bytes: Uint8Array;
      readonly etag: string | undefined;
      readonly held: readonly number[];
    };

const ROLLOUT_HEADER = "ckmesh-rollout";
/** Rollouts of one record. */
const MAX_HELD = 64;

/**
 * The control record of an image at the origin; unsigned or not is not looked at here.
 * @param etag of the record at hand
 * @throws {AppError} as `OriginHttp.fetchHead`, but for ERR_IMAGE_NOT_FOUND and ERR_AUTH_FORBIDDEN
 */
export async function fetchControl(
  origin: Pick<OriginSource, "fetchSmallFile">,
  image: string,
  etag: string | undefined,
  signal: AbortSignal,
): Promise<ControlAnswer> {
  try {
    const answer = await origin.fetchSmallFile(controlFileName(image), {
      maxBytes: MAX_CONTROL_BYTES,
      signal,
      ...(etag !== undefined && { ifNoneMatch: etag }),
    });
    const { bytes } = answer;
    const held = parseHeld(answer.header(ROLLOUT_HEADER));
    if (bytes === undefined) return { type: "unchanged", held };
    // A page that says "not found" with status 200 is none of ours.
    if (!hasControlMagic(bytes)) return { type: "none", isForeign: true };
    return { type: "found", bytes, etag: answer.header("etag"), held };
  } catch (err) {
    // Object stores answer 403 for what is not there; whether the image may be read its head tells.
    const isNone = isAppError(err, "ERR_IMAGE_NOT_FOUND") || isAppError(err, "ERR_AUTH_FORBIDDEN");
    if (!isNone) throw err;
    return { type: "none", isForeign: false };
  }
}

/** `held=3,4`; what does not look like that says nothing. */
function parseHeld(header: string | undefined): readonly number[] {
  const list = /^held=(\d{1,16}(?:,\d{1,16})*)$/.exec(header ?? "")?.[1];
  if (list === undefined) return [];
  return list.split(",").slice(0, MAX_HELD).map(Number).filter(Number.isSafeInteger);
}
