import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "@ckmesh/core";
import { encodePackHeader, HEAD_BYTES, type HeadCommon, indexLength, type SignedHead } from "@ckmesh/image";
import { RandomAccessFile } from "../files/random-access-file.js";
import { fileErrorCode, onDisk, storeError } from "../files/store-error.js";
import { syncFolder } from "../files/sync-folder.js";
import type { VersionPaths } from "../versions/store-layout.js";

/**
 * The pack and the index of one version, or of one delta, on the disk, both `.partial` and at full size, or both under their final
 * names. Says nothing of which bytes are in them.
 */
export class FilePair {
  readonly #signed: SignedHead<HeadCommon>;
  readonly #paths: VersionPaths;
  #pack: RandomAccessFile | undefined;
  #index: RandomAccessFile | undefined;

  constructor(signed: SignedHead<HeadCommon>, paths: VersionPaths) {
    this.#signed = signed;
    this.#paths = paths;
  }

  /** Both files lie under their final names, with the lengths of the head. */
  async isFinal(): Promise<boolean> {
    return await this.#haveFullSize(this.#paths.pack, this.#paths.index);
  }

  async openFinal(): Promise<void> {
    this.#pack = await RandomAccessFile.open(this.#paths.pack, "read");
    this.#index = await RandomAccessFile.open(this.#paths.index, "read");
  }

  /**
   * Opens the partial files at full size, with their heads in place. What lies under the final names gives them
   * its bytes.
   * @param packHeaderLength bytes; 0 when the pack has no header of its own
   * @returns how both were there before: `whole` at full size, `resized` with another, as after a cut; `none`: one of
   *   them was not
   * @throws {AppError} ERR_STORE_FULL
   */
  async openPartial(headBlock: Uint8Array, packHeaderLength: number): Promise<"none" | "resized" | "whole"> {
    const { pack, index, packPartial, indexPartial } = this.#paths;
    const { head, id } = this.#signed;
    // A crash between the two renames, a damaged or a foreign file: what is right in it is kept.
    if ((await sizeOf(pack)) !== undefined) await rename(pack, packPartial);
    if ((await sizeOf(index)) !== undefined) await rename(index, indexPartial);
    const isThere = [await sizeOf(packPartial), await sizeOf(indexPartial)].every(
      (size) => size !== undefined,
    );
    const isWhole = await this.#haveFullSize(packPartial, indexPartial);
    this.#pack = await RandomAccessFile.open(packPartial, "create");
    this.#index = await RandomAccessFile.open(indexPartial, "create");
    await this.#pack.setSize(head.pack.length);
    await this.#index.setSize(indexLength(head));
    await this.#index.write(0, headBlock.subarray(0, HEAD_BYTES));
    if (packHeaderLength > 0) await this.#pack.write(0, encodePackHeader(head.pack.length, id));
    return isWhole ? "whole" : isThere ? "resized" : "none";
  }

  /** @throws {AppError} ERR_ABORTED when it is closed */
  file(file: "index" | "pack"): RandomAccessFile {
    const found = file === "index" ? this.#index : this.#pack;
    if (found === undefined) throw new AppError("ERR_ABORTED", `${this.#paths[file]} is closed`);
    return found;
  }

  /**
   * The pack once more, for reading; the caller closes it.
   * @throws {AppError} ERR_FILE_NOT_FOUND
   */
  async openPack(): Promise<FileHandle> {
    const { pack, packPartial } = this.#paths;
    // A rename in between is seen at the third look.
    for (const path of [pack, packPartial, pack]) {
      try {
        return await open(path, "r");
      } catch (err) {
        if (fileErrorCode(err) !== "ENOENT") throw storeError(err, path);
      }
    }
    throw new AppError("ERR_FILE_NOT_FOUND", `${pack} is not there any more`);
  }

  /** Bytes that the pack takes on the disk: less than its length while it has holes, 0 when it is closed. */
  async packBytesOnDisk(): Promise<number> {
    return (await this.#pack?.allocatedBytes()) ?? 0;
  }

  /** Makes durable what is open. */
  async sync(): Promise<void> {
    await this.#index?.sync();
    await this.#pack?.sync();
  }

  /** Makes the partial files durable and gives them their final names, pack first. */
  async makeFinal(): Promise<void> {
    await this.file("pack").sync();
    await this.file("index").sync();
    const { pack, index, packPartial, indexPartial } = this.#paths;
    await onDisk(pack, async () => {
      await rename(packPartial, pack);
      await rename(indexPartial, index);
      await syncFolder(dirname(pack));
    });
  }

  /** Takes the final names away again and opens the files for writing. */
  async makePartial(): Promise<void> {
    const { pack, index, packPartial, indexPartial } = this.#paths;
    await onDisk(pack, async () => {
      await rename(index, indexPartial);
      await rename(pack, packPartial);
    });
    await this.#pack?.close();
    await this.#index?.close();
    this.#pack = await RandomAccessFile.open(packPartial, "write");
    this.#index = await RandomAccessFile.open(indexPartial, "write");
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    const files = [this.#pack, this.#index];
    this.#pack = this.#index = undefined;
    for (const file of files) await file?.close();
  }

  async #haveFullSize(pack: string, index: string): Promise<boolean> {
    const { head } = this.#signed;
    return (await sizeOf(pack)) === head.pack.length && (await sizeOf(index)) === indexLength(head);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}
