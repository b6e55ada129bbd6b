import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { tlsServerEndPoint } from "@ckmesh/auth";

/** What a logon is bound to: the server's certificate (RFC 5929 §4); undefined without TLS. */
export function channelBindingOf(socket: Socket): Uint8Array | undefined {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return certificate === undefined ? undefined : tlsServerEndPoint(certificate.raw);
}
