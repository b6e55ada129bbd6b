import type { IncomingMessage } from "node:http";

/** What a refused request may still bring: BITS sends 4 MB at most before it is answered. */
const MAX_REFUSED_BODY_BYTES = 4 * 1024 * 1024;

/**
 * Lets the body of a refused request go by, so that the client can use the connection for its next try: NTLM
 * needs that. A client that sends too much loses the connection.
 * @returns false when what the client announces is too much: the answer should end the connection
 */
export function drainBody(request: IncomingMessage): boolean {
  const { "content-length": announced, "transfer-encoding": encoding } = request.headers;
  if (encoding === undefined && (announced === undefined || announced === "0")) return true;
  let left = MAX_REFUSED_BODY_BYTES;
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.socket.destroy();
  });
  return Number(announced ?? 0) <= MAX_REFUSED_BODY_BYTES;
}
