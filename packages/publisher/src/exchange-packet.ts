import { type BitsPacket, type BitsReply, decodeReply, encodePacket } from "@ckmesh/bits";
import type { OriginCalls, RequestBody } from "@ckmesh/net";

const BITS_METHOD = "BITS_POST";
/** Without progress of a fragment, ms ([MC-BUP] 3.1.2.1). */
const SEND_TIMEOUT_MS = 120_000;
/** Without an answer to another packet, ms: a server may look at the whole file at its close ([MC-BUP] 3.1.2.2). */
const ANSWER_TIMEOUT_MS = 300_000;

/**
 * Sends a packet to a URL path and reads its Ack.
 * @param body of a fragment
 * @throws {AppError} ERR_ORIGIN_INVALID when it is answered by no Ack; as `OriginCalls`
 */
export async function exchangePacket(
  calls: OriginCalls,
  path: string,
  packet: BitsPacket,
  body: RequestBody | undefined,
  signal: AbortSignal,
): Promise<BitsReply> {
  const answer = await calls.send({
    method: BITS_METHOD,
    path,
    headers: encodePacket(packet),
    what: `${packet.type} ${path}`,
    headTimeoutMs: body === undefined ? ANSWER_TIMEOUT_MS : SEND_TIMEOUT_MS,
    ...(body !== undefined && {
      body,
      opener: { method: BITS_METHOD, headers: encodePacket({ type: "ping" }) },
    }),
    signal,
  });
  return decodeReply(packet.type, answer.status, answer.fields);
}
