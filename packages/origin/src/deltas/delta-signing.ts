import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, describeError, equalBytes } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";

/** Who signs the deltas of an origin, and who would take them. */
export interface DeltaSigning {
  /** Public half of `deltas.signKeyFile`, 32 bytes; undefined: what is made here is not signed. */
  readonly signKey: Uint8Array | undefined;
  /** Ed25519 public keys, asked each time: they change with a reload. */
  readonly publishers: () => readonly Uint8Array[];
}

/**
 * Reads the public half of a signing key, and requires that clients which trust this origin's publishers take what it
 * signs.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function readSignKey(path: string, publishers: readonly Uint8Array[]): Promise<Uint8Array> {
  let key: Uint8Array;
  try {
    key = publicKeyBytes(createPublicKey(createPrivateKey(await readFile(path))));
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `deltas.signKeyFile: ${path} is no private key of ckmesh keygen: ${describeError(cause)}`,
      { cause },
    );
  }
  if (isForeign(key, publishers)) throw new AppError("ERR_CONFIG_INVALID", FOREIGN_KEY);
  return key;
}

/**
 * Why clients would not take a delta to a version if it were made here, and what to set; undefined: they would. A
 * version that is signed goes to clients with publishers: they want its deltas signed, too. Whom they trust only they
 * know; a key that is configured here counts, unless this origin's own publishers speak against it.
 */
export function signingObstacle(
  { isSigned }: { readonly isSigned: boolean },
  { signKey, publishers }: DeltaSigning,
): string | undefined {
  if (signKey !== undefined) return isForeign(signKey, publishers()) ? FOREIGN_KEY : undefined;
  return isSigned || publishers().length > 0 ? NO_KEY : undefined;
}

const FOREIGN_KEY =
  "deltas.signKeyFile: its public key is not among publishers, so that nobody would take what it signs";
const NO_KEY =
  "its deltas must be signed as it is: set deltas.signKeyFile, or copy deltas of ckmesh delta --sign into the folder before the version";

function isForeign(key: Uint8Array, publishers: readonly Uint8Array[]): boolean {
  return publishers.length > 0 && !publishers.some((publisher) => equalBytes(publisher, key));
}
