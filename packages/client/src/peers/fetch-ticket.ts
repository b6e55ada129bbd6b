import { isAppError } from "@ckmesh/core";
import type { OriginHttp } from "@ckmesh/net";

/** The origin's ticket for the tracker; undefined from a stock server: the join key, if any, has to do. */
export async function fetchTicket(
  origin: Pick<OriginHttp, "fetchTicket">,
  peerIdHex: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    return await origin.fetchTicket(peerIdHex, signal);
  } catch (err) {
    if (isAppError(err, "ERR_IMAGE_NOT_FOUND") || isAppError(err, "ERR_ORIGIN_INVALID")) return undefined;
    throw err;
  }
}
