import type { IncomingMessage } from "node:http";
import type { Visitor } from "../access/access.js";
import { plainAddress } from "../listener/request-facts.js";
import type { Actor } from "./image-remover.js";

/** Who sends a request that changes something. */
export function actorOf(request: IncomingMessage, visitorOf: (request: IncomingMessage) => Visitor): Actor {
  const { identity } = visitorOf(request);
  if (identity === undefined) throw new Error("unreachable: rights to change are never anonymous");
  return { user: identity.name, address: plainAddress(request.socket.remoteAddress ?? "") };
}
