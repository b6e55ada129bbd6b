import { randomBytes } from "node:crypto";
import type { Server } from "node:https";
import type { SecureContextOptions } from "node:tls";

/** What Node takes as the keys of session tickets. */
const TICKET_KEY_BYTES = 48;

/**
 * Gives a server a new certificate, CAs or revocation lists. Whoever connects from now on is judged by them: a session
 * from before would bring the old verdict with it, so its tickets are made worthless; kept connections without a
 * request end. Those under way go on (`ClientCertificates.isStale`).
 * @param context everything: what is left out is forgotten
 */
export function renewTls(server: Server, context: SecureContextOptions): void {
  server.setSecureContext(context);
  server.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
  server.closeIdleConnections();
}
