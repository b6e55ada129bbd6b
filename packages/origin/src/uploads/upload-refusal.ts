import { accessDenied, BitsFault, HRESULT } from "@ckmesh/bits";
import { describeError, type ErrorCode, isAppError } from "@ckmesh/core";

const FORBIDDEN: ReadonlySet<ErrorCode> = new Set(["ERR_IMAGE_EXISTS", "ERR_SIGNATURE_INVALID"]);
/** What speaks against the files themselves; anything else may go right without another upload. */
const JUDGEMENTS: ReadonlySet<ErrorCode> = new Set([
  "ERR_IMAGE_EXISTS",
  "ERR_IMAGE_NAME_INVALID",
  "ERR_INDEX_INVALID",
  "ERR_PACK_INVALID",
  "ERR_FORMAT_UNSUPPORTED",
  "ERR_SIGNATURE_INVALID",
  "ERR_FILE_NOT_FOUND",
]);

/** True if the file may be all right: no space, a share that is away, an origin that stops. */
export function isTransient(err: unknown): boolean {
  return !isAppError(err) || !JUDGEMENTS.has(err.code);
}

/** Why a file is refused, without where it lies: users see it. */
export function refusalOf(
  err: unknown,
  folders: readonly string[],
): { readonly code: ErrorCode; readonly reason: string } {
  const reason = folders.reduce((text, folder) => text.replaceAll(folder, ""), describeError(err));
  return { code: isAppError(err) ? err.code : "ERR_INTERNAL", reason };
}

/** What the Ack to a Close says of a refused file: a status that no client answers by sending it all again. */
export function refusalFault(refusal: { readonly code: ErrorCode; readonly reason: string }): BitsFault {
  return FORBIDDEN.has(refusal.code)
    ? accessDenied(refusal.reason, refusal.code)
    : new BitsFault(refusal.code, refusal.reason, { status: 400, hresult: HRESULT.invalidArgument });
}
