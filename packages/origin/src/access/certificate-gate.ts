import type { TLSSocket } from "node:tls";
import type { CertificateVerdict } from "@ckmesh/auth";
import type { ClientCertificates } from "../certificate/client-certificates.js";
import type { ClientTrust, TrustContext } from "../certificate/client-trust.js";

/** What one configuration makes of client certificates. */
export interface CertificateParts {
  readonly clients: ClientCertificates;
  readonly trust: ClientTrust;
}

/** Client certificates as the configuration that counts now takes them; connections outlive configurations. */
export class CertificateGate {
  #parts: CertificateParts;
  #onChange: () => void = () => {};
  readonly #openedWith = new WeakMap<TLSSocket, CertificateParts>();
  /** Their handshake was judged by CAs and lists of an earlier configuration. */
  readonly #outlived = new WeakSet<TLSSocket>();

  constructor(parts: CertificateParts) {
    this.#parts = parts;
    parts.trust.onChange(() => this.#changed(parts));
  }

  get trustContext(): TrustContext {
    return this.#parts.trust.context;
  }

  /** @param run renews the TLS context of the listener */
  onChange(run: () => void): void {
    this.#onChange = run;
  }

  /** The parts that counted before stay open: whoever made them closes them. */
  replace(parts: CertificateParts): void {
    this.#parts = parts;
    parts.trust.onChange(() => this.#changed(parts));
    this.#onChange();
  }

  /** Of a connection that came before, as after an upgrade that is ignored, the handshake is still the first one. */
  opened(socket: TLSSocket): void {
    const before = this.#openedWith.get(socket);
    if (before === this.#parts) return;
    if (before !== undefined) this.#outlived.add(socket);
    this.#parts.clients.opened(socket);
    this.#openedWith.set(socket, this.#parts);
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE */
  async verdictOf(socket: TLSSocket): Promise<CertificateVerdict> {
    this.opened(socket); // Its mapping is that of today, whatever judged its handshake.
    return this.#parts.clients.verdictOf(socket);
  }

  /** True when the answer must be the last one on the connection. Ask after `verdictOf`. */
  isStale(socket: TLSSocket): boolean {
    return this.#outlived.has(socket) || this.#parts.clients.isStale(socket);
  }

  #changed(parts: CertificateParts): void {
    if (parts === this.#parts) this.#onChange();
  }
}
