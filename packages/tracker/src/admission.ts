import { type ErrorCode, isAppError } from "@ckmesh/core";
import { checkJoinProof, checkTicket, type ToTracker } from "@ckmesh/wire";
import type { TrackerRules } from "./tracker-rules.js";

/** As what a client was let in. */
export interface Admission {
  readonly role: "client" | "origin";
  /** Of the ticket; empty without one. */
  readonly user: string;
  readonly site: string | undefined;
  /** Unix ms; infinite without a ticket. */
  readonly expires: number;
}

export interface Refusal {
  readonly code: ErrorCode;
  /** For the administrator of the client: what to do. */
  readonly message: string;
}

/**
 * Decides who may join: a ticket counts first, then a join proof, then whether the tracker is open. A ticket
 * that does not hold is refused even where none is needed: somebody means it to count.
 */
export function admit(
  rules: Pick<TrackerRules, "fleetKey" | "joinKey" | "open">,
  nonce: Uint8Array,
  hello: Extract<ToTracker, { type: "hello" }>,
  wall: number,
): Admission | Refusal {
  if (hello.ticket !== undefined && rules.fleetKey !== undefined) {
    return byTicket(rules.fleetKey, hello.ticket, hello.peerId, wall);
  }
  if (hello.joinProof !== undefined && rules.joinKey !== undefined) {
    return checkJoinProof(rules.joinKey, nonce, hello.peerId, hello.joinProof)
      ? ANONYMOUS
      : {
          code: "ERR_AUTH_FORBIDDEN",
          message: "the join key is another one; give all the same join key file",
        };
  }
  if (rules.open) return ANONYMOUS;
  const ways = [
    ...(rules.fleetKey === undefined ? [] : ["a ticket of the origin"]),
    ...(rules.joinKey === undefined ? [] : ["the join key"]),
  ];
  return { code: "ERR_AUTH_REQUIRED", message: `this tracker asks for ${ways.join(" or ")}` };
}

const ANONYMOUS: Admission = { role: "client", user: "", site: undefined, expires: Number.POSITIVE_INFINITY };

function byTicket(
  fleetKey: Uint8Array,
  bytes: Uint8Array,
  peerId: Uint8Array,
  wall: number,
): Admission | Refusal {
  try {
    const ticket = checkTicket(fleetKey, bytes, wall);
    if (Buffer.compare(ticket.peerId, peerId) !== 0) {
      return { code: "ERR_TICKET_INVALID", message: "the ticket is that of another peer" };
    }
    return { role: ticket.role, user: ticket.user, site: ticket.site, expires: ticket.expires };
  } catch (err) {
    if (!isAppError(err)) throw err;
    return { code: err.code, message: err.message };
  }
}
