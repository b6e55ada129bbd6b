import { open } from "node:fs/promises";
import { AppError } from "@ckmesh/core";
import { checkPackHeader, FrameTable, type IndexFile, PACK_HEADER_BYTES } from "@ckmesh/image";
import { shareCopy } from "./buffer-pool.js";
import { fileError } from "./file-error.js";
import type { WorkerSetup } from "./image-tasks.js";

/** A pack that is open for reading, as worker threads need it. */
export interface PackFile {
  readonly frames: FrameTable;
  readonly setup: NonNullable<WorkerSetup["pack"]>;
  close(): Promise<void>;
}

/**
 * Opens the pack of an index: length and header fit, frames are not checked yet.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_PACK_INVALID, ERR_INDEX_INVALID
 */
export async function openPack(path: string, index: IndexFile): Promise<PackFile> {
  const { disk, counts, pack } = index.head;
  // One copy for all threads; read before the pack, so that a damaged table is named first.
  const section = shareCopy(await index.section("frames"));
  const frames = FrameTable.decode(section, index.head);
  const handle = await open(path, "r").catch((err: unknown) => {
    throw fileError(err, path);
  });
  try {
    const { size } = await handle.stat();
    if (size !== pack.length) {
      throw new AppError(
        "ERR_PACK_INVALID",
        `${path} has ${size} bytes, its index says ${pack.length}; copy both files again`,
      );
    }
    if (disk !== undefined) {
      const header = new Uint8Array(PACK_HEADER_BYTES);
      await handle.read(header, 0, header.length, 0);
      checkPackHeader(header, index.signed);
    }
    const setup = {
      fd: handle.fd,
      head: { ...(disk === undefined ? {} : { disk }), counts, pack },
      frames: section,
    };
    return { frames, setup, close: async () => await handle.close() };
  } catch (err) {
    await handle.close();
    throw fileError(err, path);
  }
}
