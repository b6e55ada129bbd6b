import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { AppError, equalBytes } from "@ckmesh/core";
import { MAX_SIGNATURES } from "./constants.js";

/** Whose images and control records a client or origin accepts. */
export interface TrustPolicy {
  /** Ed25519 public keys, 32 bytes each. */
  readonly publishers: readonly Uint8Array[];
  /** `whenConfigured`: signatures count as soon as `publishers` names somebody. */
  readonly signature: "required" | "whenConfigured";
}

export interface PublisherSignature {
  /** Ed25519 public key, 32 bytes. */
  readonly key: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

/** Something signed, with the words for refusing it. */
export interface SignedThing {
  /** "Win11 version 3" */
  readonly what: string;
  /** "sign it with …" */
  readonly advice: string;
  /** What the publishers signed: begins with a context of its own per kind of thing. */
  readonly message: Uint8Array;
  readonly signatures: readonly PublisherSignature[];
}

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const RECORD_BYTES = KEY_BYTES + SIGNATURE_BYTES;
/** DER of SubjectPublicKeyInfo for Ed25519 before the 32 key bytes (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Requires a valid signature by one of the configured publishers; those of others do not count.
 * @throws {AppError} ERR_SIGNATURE_INVALID
 */
export function checkSignatures(thing: SignedThing, policy: TrustPolicy): void {
  const { what, advice, message, signatures } = thing;
  if (policy.publishers.length === 0) {
    if (policy.signature === "whenConfigured") return;
    throw refuse(what, "signatures are required, but no publisher key is configured; add one to publishers");
  }
  const known = signatures.filter(({ key }) => policy.publishers.some((p) => equalBytes(p, key)));
  if (known.length === 0) {
    const why =
      signatures.length === 0 ? "it is not signed" : "none of its signers is a configured publisher";
    throw refuse(what, `${why}; ${advice}, or add the signer's key to publishers`);
  }
  const isValid = known.some(({ key, signature }) => verify(null, message, publicKey(key), signature));
  if (!isValid) throw refuse(what, "the publisher's signature does not match: it was tampered with");
}

/** Key and signature of each signer, one after the other: what follows the signed bytes in a file. */
export function encodeSignatures(message: Uint8Array, signers: readonly KeyObject[]): Uint8Array {
  return Buffer.concat(signers.flatMap((key) => [publicKeyBytes(key), sign(null, message, key)]));
}

/** Undefined when `bytes` are no such list, or too long a one. */
export function parseSignatures(bytes: Uint8Array): readonly PublisherSignature[] | undefined {
  if (bytes.length % RECORD_BYTES !== 0 || bytes.length > MAX_SIGNATURES * RECORD_BYTES) return undefined;
  return Array.from({ length: bytes.length / RECORD_BYTES }, (_, i) => {
    const record = bytes.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
    return { key: record.subarray(0, KEY_BYTES), signature: record.subarray(KEY_BYTES) };
  });
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

function refuse(what: string, why: string): AppError {
  return new AppError("ERR_SIGNATURE_INVALID", `${what}: ${why}`);
}
