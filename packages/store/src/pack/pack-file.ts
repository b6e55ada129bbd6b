import { open } from "node:fs/promises";
import { AppError } from "@ckmesh/core";
import {
  checkPackHeader,
  type DeltaHead,
  FrameTable,
  type IndexHead,
  isOpaquePack,
  PACK_HEADER_BYTES,
  type PackFacts,
  type SectionFile,
} from "@ckmesh/image";
import { fileError } from "../files/file-error.js";
import type { PackSetup } from "../image-tasks.js";

/** A pack that is open for reading, as worker threads need it. */
export interface PackFile {
  readonly frames: FrameTable;
  readonly setup: PackSetup;
  close(): Promise<void>;
}

/**
 * Opens the pack of an index: length and header fit, frames are not checked yet.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_PACK_INVALID, ERR_INDEX_INVALID
 */
export async function openPack(
  path: string,
  index: SectionFile<IndexHead> | SectionFile<DeltaHead>,
): Promise<PackFile> {
  const head: PackFacts = index.head;
  // One copy for all threads; read before the pack, so that a damaged table is named first.
  const shared = FrameTable.decode(await index.section("frames"), head).share();
  const frames = FrameTable.open(shared);
  const handle = await open(path, "r").catch((err: unknown) => {
    throw fileError(err, path);
  });
  try {
    const { size } = await handle.stat();
    if (size !== head.pack.length) {
      throw new AppError(
        "ERR_PACK_INVALID",
        `${path} has ${size} bytes, its index says ${head.pack.length}; copy both files again`,
      );
    }
    if (!isOpaquePack(head)) {
      const header = new Uint8Array(PACK_HEADER_BYTES);
      await handle.read(header, 0, header.length, 0);
      checkPackHeader(header, index.signed);
    }
    const setup = { fd: handle.fd, head: packFacts(head), frames: shared };
    return { frames, setup, close: async () => await handle.close() };
  } catch (err) {
    await handle.close();
    throw fileError(err, path);
  }
}

/** Of a head no more than the threads need. */
export function packFacts({ disk, target, counts, pack }: PackFacts): PackFacts {
  return {
    ...(disk === undefined ? {} : { disk }),
    ...(target === undefined ? {} : { target }),
    counts,
    pack,
  };
}
