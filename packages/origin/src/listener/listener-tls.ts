import { randomBytes } from "node:crypto";
import type { Server as PlainServer } from "node:http";
import { type Server, Server as TlsServer } from "node:https";
import type { TLSSocket } from "node:tls";
import type { CertificateGate } from "../access/certificate-gate.js";
import { CERTIFICATE_TLS } from "../certificate/client-certificates.js";
import { renewTls } from "../certificate/renew-tls.js";
import { TLS_SETTINGS, type TlsFiles } from "./tls-options.js";

/** What a TLS listener speaks with. */
export interface ListenerTls {
  readonly files: TlsFiles;
  /** Present = a client certificate is required. */
  readonly clients?: CertificateGate;
}

/** What Node takes as the keys of session tickets. */
const TICKET_KEY_BYTES = 48;

export function tlsServerOptions({ files, clients }: ListenerTls) {
  return {
    ...TLS_SETTINGS,
    cert: files.cert,
    key: files.key,
    ...(clients !== undefined && { ...CERTIFICATE_TLS, ...clients.trustContext }),
  };
}

/**
 * Keeps the context of a TLS server up to date.
 * @returns takes new TLS files; connections under way keep theirs
 */
export function followTls(server: PlainServer, tls: ListenerTls): (files: TlsFiles) => void {
  if (!(server instanceof TlsServer)) throw new Error("unreachable: a TLS listener has a TLS server");
  const { clients } = tls;
  let { files } = tls;
  if (clients !== undefined) {
    server.on("secureConnection", (socket: TLSSocket) => clients.opened(socket));
    clients.onChange(() => renew(server, { files, clients }));
  }
  return (renewed) => {
    files = renewed;
    renew(server, { files, ...(clients !== undefined && { clients }) });
  };
}

function renew(server: Server, tls: ListenerTls): void {
  const options = tlsServerOptions(tls);
  if (tls.clients !== undefined) {
    renewTls(server, options);
    return;
  }
  server.setSecureContext(options);
  // A resumed session would be bound to the old certificate on the client's side, to the new one on ours.
  server.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
}
