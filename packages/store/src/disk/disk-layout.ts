import { AppError } from "@ckmesh/core";
import {
  containerSegments,
  DiskExtents,
  type DiskShape,
  fixedVhdFooter,
  type IndexFile,
  MAX_VHD_BYTES,
  VHD_SECTOR_BYTES,
} from "@ckmesh/image";

/** Bytes of a constant run that are written at once. */
const FILL_BYTES = 1 << 20;

/** `original`: the packed file byte for byte; `vhd`: a fixed VHD. */
export const UNPACK_FORMATS = ["original", "raw", "vhd"] as const;
export type UnpackFormat = (typeof UNPACK_FORMATS)[number];

/** Bytes at a place of a file. */
interface FilePart {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What a file of a disk is made of. */
export interface DiskLayout {
  readonly shape: DiskShape;
  readonly fileLength: number;
  /** Where the disk goes. */
  readonly extents: DiskExtents;
  /** What else the file holds, in file order; stretches of zeros only where they begin before `zerosUntil`. */
  readonly rest: (zerosUntil: number) => Iterable<FilePart>;
}

/** @throws {AppError} ERR_FORMAT_UNSUPPORTED (opaque pack, disk too large for a VHD), ERR_INDEX_INVALID */
export async function layOutDisk(index: IndexFile, format: UnpackFormat): Promise<DiskLayout> {
  const { disk, createdAt } = index.head;
  if (disk === undefined) {
    throw new AppError(
      "ERR_FORMAT_UNSUPPORTED",
      "this version is an opaque pack: there is no disk to rebuild from it",
    );
  }
  const diskSize = disk.size;
  const flat = DiskExtents.flat(diskSize);
  switch (format) {
    case "original": {
      const container = await index.section("container");
      const { extents, fileLength } = DiskExtents.decode(container, diskSize);
      return { shape: disk, fileLength, extents, rest: (until) => containerRest(container, diskSize, until) };
    }
    case "raw":
      return { shape: disk, fileLength: diskSize, extents: flat, rest: () => [] };
    case "vhd": {
      const padded = Math.ceil(diskSize / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
      if (padded > MAX_VHD_BYTES) {
        throw new AppError(
          "ERR_FORMAT_UNSUPPORTED",
          "the disk is larger than a VHD can be (2040 GiB); use --format raw",
        );
      }
      const footer = fixedVhdFooter(padded, createdAt, index.signed.id);
      const padding = { offset: diskSize, bytes: new Uint8Array(padded - diskSize) };
      const fileLength = padded + footer.length;
      return {
        shape: disk,
        fileLength,
        extents: flat,
        rest: () => [padding, { offset: padded, bytes: footer }],
      };
    }
  }
}

function* containerRest(section: Uint8Array, diskSize: number, zerosUntil: number): Generator<FilePart> {
  for (const segment of containerSegments(section, diskSize)) {
    if (segment.type === "literal") yield { offset: segment.offset, bytes: segment.bytes };
    if (segment.type !== "fill") continue;
    const fill = new Uint8Array(Math.min(FILL_BYTES, segment.length)).fill(segment.byte);
    for (let done = 0; done < segment.length; done += fill.length) {
      if (segment.byte === 0 && segment.offset + done >= zerosUntil) break;
      yield { offset: segment.offset + done, bytes: fill.subarray(0, segment.length - done) };
    }
  }
}
