import { open } from "node:fs/promises";
import { AppError, fromHex } from "@ckmesh/core";

/** Fleet keys and join keys have 32 bytes: 64 hexadecimal characters in the file. */
const KEY_BYTES = 32;
/** Enough for the characters and white space around them. */
const MAX_FILE_BYTES = 256;

/**
 * Reads a fleet key or a join key: 64 hexadecimal characters, white space around them ignored.
 * @param setting name of the setting that names the file, for the message
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function readKeyFile(file: string, setting: string): Promise<Uint8Array> {
  const key = fromHex((await readStart(file, setting)).trim(), KEY_BYTES);
  if (key === undefined) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${setting}: ${file} must hold ${KEY_BYTES * 2} hexadecimal characters; make one with ckmesh keygen`,
    );
  }
  return key;
}

async function readStart(file: string, setting: string): Promise<string> {
  try {
    const handle = await open(file, "r");
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES, 0);
      return buffer.toString("latin1", 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("ERR_CONFIG_INVALID", `${setting}: cannot read the key file: ${why}`, { cause });
  }
}
