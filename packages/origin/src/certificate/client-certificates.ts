import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { CertificateFault, CertificateMapper, CertificateVerdict } from "@ckmesh/auth";
import type { Clock } from "@ckmesh/core";
import type { ClientTrust } from "./client-trust.js";

/**
 * How a listener asks for certificates. TLS itself turns nobody away: a client that gets an answer can say what is
 * wrong, an alert within the handshake it cannot show.
 */
export const CERTIFICATE_TLS = { requestCert: true, rejectUnauthorized: false } as const;

/** The account of a kept connection is looked up again after this: somebody may have disabled it. */
const VERDICT_MS = 300_000;
/**
 * Handshakes may take this long (the listener's `handshakeTimeout`): one that ends within this time of a reload may
 * have begun before it.
 */
const HANDSHAKE_MS = 10_000;

/** OpenSSL's names of faults; every other one means that no trusted CA vouches for the certificate. */
const FAULTS: ReadonlyMap<string, CertificateFault> = new Map([
  ["CERT_REVOKED", "revoked"],
  ["CERT_HAS_EXPIRED", "expired"],
  ["CERT_NOT_YET_VALID", "notYetValid"],
  ["CRL_HAS_EXPIRED", "revocationUnknown"],
  ["CRL_NOT_YET_VALID", "revocationUnknown"],
  ["CRL_SIGNATURE_FAILURE", "revocationUnknown"],
]);
/** With lists loaded, OpenSSL says this of foreign CAs and of trusted ones without a list alike. */
const NO_LIST = "UNABLE_TO_GET_CRL";

/** What a handshake brought; the same for every request of its connection. */
interface Presented {
  readonly raw: Uint8Array;
  readonly fault: CertificateFault | undefined;
  /** Unix ms. */
  readonly notAfter: number;
}

interface Connection {
  readonly handshakeAt: number;
  readonly presented: Presented | undefined;
  verdict?: Promise<CertificateVerdict>;
  verdictAt: number;
}

export interface ClientCertificatesOptions {
  readonly trust: Pick<ClientTrust, "onChange" | "hasIssuerOf">;
  readonly mapper: CertificateMapper;
  readonly clock: Clock;
}

/** What each connection's certificate is worth, found out once per connection and kept with it. */
export class ClientCertificates {
  readonly #trust: ClientCertificatesOptions["trust"];
  readonly #mapper: CertificateMapper;
  readonly #clock: Clock;
  readonly #connections = new WeakMap<TLSSocket, Connection>();
  #reloadedAt = Number.NEGATIVE_INFINITY;

  constructor({ trust, mapper, clock }: ClientCertificatesOptions) {
    this.#trust = trust;
    this.#mapper = mapper;
    this.#clock = clock;
    trust.onChange(() => {
      this.#reloadedAt = clock.now();
    });
  }

  /** Call at `secureConnection`, before the first request is read. */
  opened(socket: TLSSocket): void {
    const presented = this.#presentedBy(socket);
    this.#connections.set(socket, { handshakeAt: this.#clock.now(), presented, verdictAt: 0 });
  }

  /**
   * True for a connection that may have been judged by CAs and lists that count no more: the answer to its request
   * must be the last one on it. TLS judges certificates in handshakes only.
   */
  isStale(socket: TLSSocket): boolean {
    return (this.#connections.get(socket)?.handshakeAt ?? 0) < this.#reloadedAt + HANDSHAKE_MS;
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE when the directory does not answer */
  async verdictOf(socket: TLSSocket): Promise<CertificateVerdict> {
    const connection = this.#connections.get(socket);
    if (connection === undefined) throw new Error("unreachable: a connection that was not opened");
    const { presented } = connection;
    if (presented === undefined) return { type: "none" };
    if (presented.fault !== undefined) return { type: "bad", fault: presented.fault };
    // Connections outlive certificates.
    if (presented.notAfter < this.#clock.wall()) return { type: "bad", fault: "expired" };
    const now = this.#clock.now();
    if (connection.verdict === undefined || now - connection.verdictAt >= VERDICT_MS) {
      connection.verdictAt = now;
      const verdict = this.#mapper.map(presented.raw);
      connection.verdict = verdict;
      verdict.catch(() => {
        if (connection.verdict === verdict) delete connection.verdict; // The next request asks again.
      });
    }
    return connection.verdict;
  }

  #presentedBy(socket: TLSSocket): Presented | undefined {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return undefined;
    const fault = socket.authorized
      ? undefined
      : this.#faultOf(certificate, String(socket.authorizationError));
    return { raw: certificate.raw, fault, notAfter: Date.parse(certificate.validTo) };
  }

  #faultOf(certificate: X509Certificate, code: string): CertificateFault {
    if (code === NO_LIST) return this.#trust.hasIssuerOf(certificate) ? "revocationUnknown" : "untrusted";
    return FAULTS.get(code) ?? "untrusted";
  }
}
