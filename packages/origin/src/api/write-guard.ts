import type { IncomingMessage } from "node:http";
import { RequestError } from "../listener/http-failure.js";

/** Largest body of a request that changes something: a control record of 64 KiB, in base64 within JSON. */
export const MAX_WRITE_BYTES = 128 * 1024;

/**
 * Lets only programs and the origin's own pages change something (DESIGN section 5): a page of another site can
 * neither set the header `X-Ckmesh` without being asked about it first (it is refused then), nor hide its own origin.
 * That bodies are JSON is the router's business: it knows no other type.
 * @throws {RequestError} ERR_REQUEST_INVALID, ERR_AUTH_FORBIDDEN
 */
export function guardWrite({ headers }: IncomingMessage): void {
  if (headers["x-ckmesh"] !== "1") {
    throw new RequestError(
      "ERR_REQUEST_INVALID",
      "requests that change something need the header X-Ckmesh: 1",
    );
  }
  if (headers.origin !== undefined && !isOwnOrigin(headers.origin, headers.host)) {
    throw new RequestError("ERR_AUTH_FORBIDDEN", "pages of another site may change nothing here");
  }
}

/** The scheme does not count: a proxy may end TLS before us. */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  const parsed = URL.canParse(origin) ? new URL(origin) : undefined;
  if (parsed === undefined || host === undefined) return false;
  const own = `${parsed.protocol}//${host}`;
  return URL.canParse(own) && new URL(own).host === parsed.host;
}
