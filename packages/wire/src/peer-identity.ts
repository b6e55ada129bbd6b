import { sha256 } from "@ckmesh/core";

/** TLS exporter label (RFC 8446 §7.5) of the identity proof; its context is the role of the signer. */
export const IDENTITY_EXPORTER_LABEL = "ckmesh/1 identity";

/** Which end of the TCP connection signs: a proof of one role is none for the other. */
export type LinkRole = "dialer" | "listener";

/** The peer id: SHA-256 of the raw Ed25519 public key, 32 bytes. */
export function peerIdOf(publicKey: Uint8Array): Uint8Array {
  return sha256(publicKey);
}

/**
 * What a peer signs to prove its identity on one TLS connection.
 * @param exported 32 bytes of the TLS exporter with IDENTITY_EXPORTER_LABEL and the role as context
 */
export function identitySigningBytes(
  role: LinkRole,
  exported: Uint8Array,
  versionId: Uint8Array,
): Uint8Array {
  return Buffer.concat([Buffer.from(`${IDENTITY_EXPORTER_LABEL} ${role}\0`, "latin1"), exported, versionId]);
}
