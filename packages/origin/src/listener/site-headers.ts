import type { IncomingMessage } from "node:http";
import { isSiteLabel, MAX_ROWS, MAX_SITE_LABEL_LENGTH } from "@ckmesh/wire";

/** Headers of a client's range requests (site swarm rule 14); both are its own word, nothing more. */
const SITE_HEADER = "x-ckmesh-site";
const SPAN_HEADER = "x-ckmesh-span";
/** `encodeURIComponent` makes at most nine characters of one UTF-16 unit. */
const MAX_ENCODED_LABEL = 9 * MAX_SITE_LABEL_LENGTH;

/** The site label that a request names; undefined where it is none. Never throws: anybody may send anything. */
export function siteLabelOf(request: Pick<IncomingMessage, "headers">): string | undefined {
  const text = request.headers[SITE_HEADER];
  if (typeof text !== "string" || text.length > MAX_ENCODED_LABEL) return undefined;
  try {
    const label = decodeURIComponent(text);
    return isSiteLabel(label) ? label : undefined;
  } catch {
    return undefined; // a broken escape is no label
  }
}

/** The span that a request names; undefined where it is no number of one. */
export function spanOf(request: Pick<IncomingMessage, "headers">): number | undefined {
  const text = request.headers[SPAN_HEADER];
  if (typeof text !== "string" || !/^\d{1,8}$/.test(text)) return undefined;
  const span = Number(text);
  return span < MAX_ROWS ? span : undefined;
}
