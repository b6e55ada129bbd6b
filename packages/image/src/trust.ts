import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { AppError, equalBytes } from "@ckmesh/core";
import type { SignedHead } from "./index-head.js";

/** Whose images a client or origin accepts. */
export interface TrustPolicy {
  /** Ed25519 public keys, 32 bytes each. */
  readonly publishers: readonly Uint8Array[];
  /** `whenConfigured`: signatures count as soon as `publishers` names somebody. */
  readonly signature: "required" | "whenConfigured";
}

const CONTEXT = Buffer.from("ckmesh-head-1", "latin1");
/** DER of SubjectPublicKeyInfo for Ed25519 before the 32 key bytes (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Requires a valid signature by one of the configured publishers; those of others do not count.
 * @throws {AppError} ERR_SIGNATURE_INVALID
 */
export function checkTrust(signed: SignedHead, policy: TrustPolicy): void {
  if (policy.publishers.length === 0) {
    if (policy.signature === "whenConfigured") return;
    throw refuse(
      signed,
      "signatures are required, but no publisher key is configured; add one to publishers",
    );
  }
  const known = signed.signatures.filter(({ key }) => policy.publishers.some((p) => equalBytes(p, key)));
  if (known.length === 0) {
    const why =
      signed.signatures.length === 0 ? "it is not signed" : "none of its signers is a configured publisher";
    throw refuse(signed, `${why}; sign it with ckmesh pack --sign, or add the signer's key to publishers`);
  }
  const message = headSigningBytes(signed.head.name, signed.headBytes);
  const isValid = known.some(({ key, signature }) => verify(null, message, publicKey(key), signature));
  if (!isValid) throw refuse(signed, "the publisher's signature does not match: it was tampered with");
}

/** What a publisher signs. */
export function headSigningBytes(name: string, headBytes: Uint8Array): Uint8Array {
  return Buffer.concat([CONTEXT, Buffer.from(name, "utf8"), headBytes]);
}

/**
 * The 32 raw bytes of an Ed25519 key's public half; takes private keys too.
 * @throws {AppError} ERR_USAGE when it is another kind of key
 */
export function publicKeyBytes(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType !== "ed25519") {
    throw new AppError("ERR_USAGE", "the signing key is no Ed25519 key; make one with ckmesh keygen");
  }
  const half = key.type === "private" ? createPublicKey(key) : key;
  return new Uint8Array(half.export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length));
}

function publicKey(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, bytes]), format: "der", type: "spki" });
}

function refuse(signed: SignedHead, why: string): AppError {
  return new AppError("ERR_SIGNATURE_INVALID", `${signed.head.name} version ${signed.head.version}: ${why}`);
}
