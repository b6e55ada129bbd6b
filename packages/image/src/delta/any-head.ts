import { isAppError } from "@ckmesh/core";
import { decodeHead } from "../head-codec.js";
import type { DeltaHead, SignedHead } from "../index-head.js";
import { decodeDeltaHead } from "./delta-head-codec.js";

/** The head of an index, of an image or of a delta. */
export type AnyHead =
  | { readonly kind: "image"; readonly signed: SignedHead }
  | { readonly kind: "delta"; readonly signed: SignedHead<DeltaHead> };

/**
 * Reads the first 4096 bytes of an index of either kind.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED: what is wrong with it as an image, unless it
 *   is a delta
 */
export function decodeAnyHead(bytes: Uint8Array): AnyHead {
  try {
    return { kind: "image", signed: decodeHead(bytes) };
  } catch (err) {
    if (!isAppError(err, "ERR_FORMAT_UNSUPPORTED") || err.details["isDelta"] !== true) throw err;
    return { kind: "delta", signed: decodeDeltaHead(bytes) };
  }
}
