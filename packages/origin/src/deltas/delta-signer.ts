import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, describeError, equalBytes } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";

/**
 * Requires that a key can sign deltas which this origin, and clients that trust its publishers, take.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function checkSignKey(path: string, publishers: readonly Uint8Array[]): Promise<void> {
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
  if (publishers.length > 0 && !publishers.some((publisher) => equalBytes(publisher, key))) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      "deltas.signKeyFile: its public key is not among publishers, so that nobody would take what it signs",
    );
  }
}
