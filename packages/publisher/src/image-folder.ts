import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@ckmesh/core";
import {
  controlFileName,
  decodeControl,
  MAX_CONTROL_BYTES,
  parseServedName,
  type SignedControl,
} from "@ckmesh/image";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";
import type { ImageVersions } from "./admin-api.js";

/** Whatever serves the folder reads it by another account. */
const SERVED_MODE = 0o644;

/** The folder of images of a stock web server: orders are written there. */
export class ImageFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {AppError} ERR_IMAGE_NOT_FOUND */
  async image(name: string): Promise<ImageVersions> {
    const numbers = new Set<number>();
    for (const entry of await readdir(this.#path)) {
      const served = parseServedName(entry);
      if (served?.name !== name || served.kind !== "index" || served.from !== undefined) continue;
      if (served.version !== undefined) numbers.add(served.version);
    }
    const versions = [...numbers].toSorted((a, b) => a - b).map((version) => ({ version }));
    const newest = versions.at(-1)?.version;
    if (newest === undefined) {
      throw new AppError("ERR_IMAGE_NOT_FOUND", `${this.#path} has no version of ${name}`);
    }
    return { name, next: newest + 1, versions };
  }

  /**
   * The control record in force; undefined when there is none.
   * @throws {AppError} ERR_CONTROL_INVALID
   */
  async control(name: string): Promise<SignedControl | undefined> {
    const file = await open(join(this.#path, controlFileName(name))).catch((err: unknown) => {
      if (fileErrorCode(err) === "ENOENT") return undefined;
      throw err;
    });
    if (file === undefined) return undefined;
    try {
      // One byte more shows that it is too long.
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_CONTROL_BYTES + 1), 0, undefined, 0);
      return decodeControl(buffer.subarray(0, bytesRead));
    } finally {
      await file.close();
    }
  }

  /**
   * Puts a control record in force; a reader sees the old one or the new one.
   * @param replaces serial of the record that it was made from, 0 for none
   * @throws {AppError} ERR_CONTROL_OUTDATED when another one is in force by now, ERR_STORE_FULL
   */
  async putControl(name: string, record: Uint8Array, replaces: number): Promise<void> {
    const current = (await this.control(name))?.record.serial ?? 0;
    if (current !== replaces) {
      throw new AppError("ERR_CONTROL_OUTDATED", `record ${current} of ${name} is in force by now`);
    }
    await writeAtomic(join(this.#path, controlFileName(name)), record, SERVED_MODE);
  }
}
