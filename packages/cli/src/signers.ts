import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, fromHex } from "@ckmesh/core";
import type { CliOptions } from "./cli-options.js";

const PUBLIC_KEY_BYTES = 32;

/**
 * The private key of --sign; none without it.
 * @throws {AppError} ERR_USAGE
 */
export async function readSigners(options: CliOptions): Promise<readonly KeyObject[]> {
  const file = options.text("sign");
  if (file === undefined) return [];
  const pem = await readFile(file);
  try {
    return [createPrivateKey(pem)];
  } catch (cause) {
    throw new AppError("ERR_USAGE", `${file} is no private key; make one with ckmesh keygen`, { cause });
  }
}

/**
 * Public keys of --publisher.
 * @throws {AppError} ERR_USAGE
 */
export function readPublishers(options: CliOptions): readonly Uint8Array[] {
  return (options.list("publisher") ?? []).map((text) => {
    const key = fromHex(text, PUBLIC_KEY_BYTES);
    if (key === undefined) {
      throw new AppError(
        "ERR_USAGE",
        `--publisher ${JSON.stringify(text)} is no public key: ${PUBLIC_KEY_BYTES * 2} hexadecimal characters, as in the .pub file`,
      );
    }
    return key;
  });
}
