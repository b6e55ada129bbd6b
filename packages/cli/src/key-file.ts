import { randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { AppError, toHex } from "@ckmesh/core";

/** Secrets that origin, tracker and clients share, bytes. */
const SHARED_KEY_BYTES = 32;
export const OWNER_ONLY = 0o600;

/** A new fleet or join key as `readKeyFile` of runtime reads it. */
export function sharedKeyText(): string {
  return `${toHex(randomBytes(SHARED_KEY_BYTES))}\n`;
}

/**
 * Writes a file that must not exist yet, safely on disk.
 * @throws {AppError} ERR_USAGE when it exists
 */
export async function writeNewFile(file: string, text: string, mode: number): Promise<void> {
  const handle = await open(file, "wx", mode).catch((cause: unknown) => {
    // The cause adds nothing: the name says it all.
    if (cause instanceof Error && "code" in cause && cause.code === "EEXIST")
      throw new AppError(
        "ERR_USAGE",
        `${file} exists; a key is never overwritten: give another FILE, or move this one away first`,
      );
    throw cause;
  });
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
