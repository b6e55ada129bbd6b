import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type ConnectionFacts, decideCertificate, type Identity, tlsServerEndPoint } from "@ckmesh/auth";
import { RequestError } from "../listener/http-failure.js";
import { plainAddress } from "../listener/request-facts.js";
import type { CertificateGate } from "./certificate-gate.js";

/** How the requests of one listener come. */
export interface Entrance {
  readonly isTls: boolean;
  /** What schemes may know of a connection. */
  factsOf(socket: Socket): ConnectionFacts;
  /**
   * Whom the client certificate stands for; absent where none is asked for.
   * @throws {RequestError} ERR_AUTH_FORBIDDEN with IIS's substatus: nothing else lets anybody in here
   * @throws {AppError} ERR_AUTH_UNAVAILABLE
   */
  readonly certificateOf?: (socket: Socket) => Promise<Identity>;
  /** True when the answer must be the last one on the connection. */
  isStale(socket: Socket): boolean;
}

export function plainEntrance(): Entrance {
  return {
    isTls: false,
    factsOf: (socket) => ({ isTls: false, address: addressOf(socket) }),
    isStale: () => false,
  };
}

export function tlsEntrance(): Entrance {
  const bindings = new ChannelBindings();
  return {
    isTls: true,
    isStale: () => false,
    factsOf: (socket) => {
      const channelBinding = bindings.of(socket);
      return {
        isTls: true,
        address: addressOf(socket),
        ...(channelBinding !== undefined && { channelBinding }),
      };
    },
  };
}

/** The entrance of a listener that requires a client certificate. */
export function certificateEntrance(gate: CertificateGate): Entrance {
  return {
    isTls: true,
    factsOf: (socket) => ({ isTls: true, address: addressOf(socket) }),
    isStale: (socket) => socket instanceof TLSSocket && gate.isStale(socket),
    certificateOf: async (socket) => {
      if (!(socket instanceof TLSSocket)) throw new Error("unreachable: certificates are asked for over TLS");
      const decision = decideCertificate(await gate.verdictOf(socket), "require");
      switch (decision.type) {
        case "user":
          return decision.identity;
        case "forbidden":
          throw new RequestError("ERR_AUTH_FORBIDDEN", decision.message, { subStatus: decision.subStatus });
        case "continue":
          throw new Error("unreachable: a certificate is required");
      }
    },
  };
}

/** What ties a logon to the certificate that its connection was made with, whatever was renewed since. */
class ChannelBindings {
  #certificate: Buffer | undefined;
  #binding: Uint8Array | undefined;

  of(socket: Socket): Uint8Array | undefined {
    const certificate = socket instanceof TLSSocket ? socket.getX509Certificate()?.raw : undefined;
    if (certificate === undefined) return undefined;
    // All connections have the same one, but for those from before a renewal.
    if (this.#certificate === undefined || !certificate.equals(this.#certificate)) {
      this.#certificate = certificate;
      this.#binding = tlsServerEndPoint(certificate);
    }
    return this.#binding;
  }
}

function addressOf(socket: Socket): string {
  return plainAddress(socket.remoteAddress ?? "");
}
