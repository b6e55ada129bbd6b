import { createHmac, timingSafeEqual } from "node:crypto";
import { AppError, decodeMsgpack, encodeMsgpack, Fields } from "@ckmesh/core";
import { isSiteLabel, MAX_SITE_LABEL_LENGTH } from "./site-label.js";
import type { Ticket } from "./tracker-messages.js";

/** Longest encoded ticket. */
export const MAX_TICKET_BYTES = 2048;
/** How long a ticket of the origin is good (DESIGN section 6). */
export const TICKET_LIFETIME_MS = 24 * 3_600_000;
/** Shortest fleet key or join key. */
export const MIN_KEY_BYTES = 16;

const MAC_BYTES = 32;
const MAX_USER_LENGTH = 256;
const TICKET_LABEL = "ckmesh/1 ticket";
const JOIN_LABEL = "ckmesh/1 join";
const NONCE_BYTES = 16;
const PEER_ID_BYTES = 32;

/**
 * Encodes and seals a ticket: HMAC-SHA256(fleet key, label ‖ body) ‖ body, body in msgpack.
 * @param fleetKey at least 16 bytes
 */
export function issueTicket(fleetKey: Uint8Array, ticket: Ticket): Uint8Array {
  const body = encodeMsgpack({ ...ticket });
  const bytes = new Uint8Array(MAC_BYTES + body.byteLength);
  bytes.set(ticketMac(fleetKey, body));
  bytes.set(body, MAC_BYTES);
  return bytes;
}

/**
 * Opens a ticket. Its bytes are copies.
 * @param nowWall Unix ms
 * @throws {AppError} ERR_TICKET_INVALID when it is malformed, sealed with another key, or expired
 */
export function checkTicket(fleetKey: Uint8Array, bytes: Uint8Array, nowWall: number): Ticket {
  if (bytes.byteLength <= MAC_BYTES || bytes.byteLength > MAX_TICKET_BYTES) {
    throw new AppError("ERR_TICKET_INVALID", "ticket has a wrong length");
  }
  const body = bytes.subarray(MAC_BYTES);
  // The seal first: nothing of an unsealed body is looked at.
  if (!timingSafeEqual(ticketMac(fleetKey, body), bytes.subarray(0, MAC_BYTES))) {
    throw new AppError(
      "ERR_TICKET_INVALID",
      "ticket was not sealed with this fleet key; give origin and tracker the same fleet key file",
    );
  }
  const fields = new Fields(
    decodeMsgpack(body, MAX_TICKET_BYTES, "ERR_TICKET_INVALID"),
    "ticket",
    "ERR_TICKET_INVALID",
  );
  const expires = fields.int("expires", 0, Number.MAX_SAFE_INTEGER);
  if (expires <= nowWall) {
    throw new AppError("ERR_TICKET_INVALID", "ticket has expired; ask the origin for a new one", {
      details: { expired: expires },
    });
  }
  return {
    peerId: fields.bytes("peerId", PEER_ID_BYTES).slice(),
    user: fields.string("user", MAX_USER_LENGTH),
    role: fields.oneOf("role", ["client", "origin"]),
    ...(fields.has("site") ? { site: siteOf(fields) } : {}),
    expires,
  };
}

/**
 * Proof that a peer holds the join key, for one connection: HMAC-SHA256(join key, label ‖ nonce ‖ peer id).
 * @param nonce the 16 bytes of the tracker's challenge
 */
export function joinProof(joinKey: Uint8Array, nonce: Uint8Array, peerId: Uint8Array): Uint8Array {
  if (nonce.byteLength !== NONCE_BYTES || peerId.byteLength !== PEER_ID_BYTES) {
    throw new Error("unreachable: nonce and peer id have fixed lengths");
  }
  return createHmac("sha256", checkedKey(joinKey)).update(JOIN_LABEL).update(nonce).update(peerId).digest();
}

/** True if `proof` is the join proof for this nonce and peer; takes the same time whatever it holds. */
export function checkJoinProof(
  joinKey: Uint8Array,
  nonce: Uint8Array,
  peerId: Uint8Array,
  proof: Uint8Array,
): boolean {
  const right = joinProof(joinKey, nonce, peerId);
  return proof.byteLength === right.byteLength && timingSafeEqual(right, proof);
}

function ticketMac(fleetKey: Uint8Array, body: Uint8Array): Uint8Array {
  return createHmac("sha256", checkedKey(fleetKey)).update(TICKET_LABEL).update(body).digest();
}

function checkedKey(key: Uint8Array): Uint8Array {
  if (key.byteLength < MIN_KEY_BYTES) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `a key of ${key.byteLength} bytes is too short; at least ${MIN_KEY_BYTES}`,
    );
  }
  return key;
}

function siteOf(fields: Fields): string {
  const site = fields.string("site", MAX_SITE_LABEL_LENGTH);
  if (!isSiteLabel(site)) throw new AppError("ERR_TICKET_INVALID", "ticket.site must be a site label");
  return site;
}
