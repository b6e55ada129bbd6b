import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, toHex } from "@ckmesh/core";
import { peerIdOf } from "@ckmesh/wire";

/** Subject public key info of Ed25519 before the 32 raw bytes (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/**
 * The y coordinates of the eight points of small order (RFC 8032 §5.1.7 leaves them in), non-canonical forms
 * included. A key among them has signatures that fit any text, so it would be everybody's.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  "00".repeat(32),
  `01${"00".repeat(31)}`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  `ec${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(30)}7f`,
]);

/** This installation's Ed25519 key; its public half names the peer. */
export class Identity {
  /** SHA-256 of the public key, 32 bytes. */
  readonly peerId: Uint8Array;
  readonly peerIdHex: string;
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;

  private constructor(privateKey: KeyObject) {
    this.#privateKey = privateKey;
    const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
    this.publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX.byteLength));
    this.peerId = peerIdOf(this.publicKey);
    this.peerIdHex = toHex(this.peerId);
  }

  /** A new key that is kept nowhere. */
  static generate(): Identity {
    return new Identity(generateKeyPairSync("ed25519").privateKey);
  }

  /**
   * The key in the file `path` (PEM, PKCS #8); made with mode 0600 when the file is absent.
   * @throws {AppError} ERR_CONFIG_INVALID when the file is no Ed25519 key
   */
  static async load(path: string): Promise<Identity> {
    const pem = await readFile(path, "utf8").catch((err: unknown) => {
      if (err instanceof Error && "code" in err && err.code === "ENOENT") return undefined;
      throw err;
    });
    return pem === undefined ? createAt(path) : new Identity(parseKey(pem, path));
  }

  /** Ed25519 signature, 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array {
    return sign(null, bytes, this.#privateKey);
  }

  /** The private key as PEM, PKCS #8. */
  toPem(): string {
    return this.#privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  }
}

/** Checks an Ed25519 signature of a raw public key; false for anything malformed. */
export function verifySignature(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  const key = parsePublicKey(publicKey);
  return key !== undefined && verifyWith(key, bytes, signature);
}

/** The key of 32 raw bytes; undefined for what is none, or everybody's. */
export function parsePublicKey(publicKey: Uint8Array): KeyObject | undefined {
  if (publicKey.byteLength !== 32 || hasSmallOrder(publicKey)) return undefined;
  try {
    return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

/** Checks an Ed25519 signature with a parsed key; false for anything malformed. */
export function verifyWith(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (signature.byteLength !== 64) return false;
  try {
    return verify(null, bytes, key, signature);
  } catch {
    return false; // no point on the curve
  }
}

function hasSmallOrder(publicKey: Uint8Array): boolean {
  const y = new Uint8Array(publicKey);
  y[31] = (y[31] ?? 0) & 0x7f; // the top bit is the sign of x
  return SMALL_ORDER.has(toHex(y));
}

/** Written beside and renamed: a crash leaves no half key under `path`. */
async function createAt(path: string): Promise<Identity> {
  const identity = Identity.generate();
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(identity.toPem());
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  return identity;
}

function parseKey(pem: string, path: string): KeyObject {
  const advice = "delete it and this client gets a new identity";
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${path} is no private key; ${advice}`, { cause });
  }
  throw new AppError("ERR_CONFIG_INVALID", `${path} is no Ed25519 key; ${advice}`);
}
