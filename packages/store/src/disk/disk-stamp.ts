import { readFile, stat } from "node:fs/promises";
import { fileErrorCode, onDisk } from "../files/store-error.js";
import { writeAtomic } from "../files/write-atomic.js";
import { UNPACK_FORMATS, type UnpackFormat } from "./disk-layout.js";

/** What a rebuilt disk was proven to be. */
export interface ProvenDisk {
  /** Version id, hex. */
  readonly id: string;
  readonly format: UnpackFormat;
}

/** Where the stamp of a disk lies: beside it. */
export function diskStampPath(diskPath: string): string {
  return `${diskPath}.stamp`;
}

/** Notes that a disk has just been proven, page by page, and how its file looks. */
export async function stampDisk(diskPath: string, proven: ProvenDisk): Promise<void> {
  await writeAtomic(diskStampPath(diskPath), await stampOf(diskPath, proven));
}

/** Whether the file was proven to be that disk, and nobody has written to it since. */
export async function hasStamp(diskPath: string, proven: ProvenDisk): Promise<boolean> {
  return await onDisk(diskPath, async () => {
    try {
      return (await readFile(diskStampPath(diskPath), "utf8")) === (await stampOf(diskPath, proven));
    } catch (err) {
      if (fileErrorCode(err) === "ENOENT") return false;
      throw err;
    }
  });
}

/** The format in which the file was proven to be the disk of that version, if nobody has written to it since. */
export async function provenFormat(diskPath: string, id: string): Promise<UnpackFormat | undefined> {
  for (const format of UNPACK_FORMATS) if (await hasStamp(diskPath, { id, format })) return format;
  return undefined;
}

/** Whoever writes to a file changes its ctime, which no program can set back. */
async function stampOf(diskPath: string, { id, format }: ProvenDisk): Promise<string> {
  const { size, ino, mtimeNs, ctimeNs } = await stat(diskPath, { bigint: true });
  return `${id} ${format} ${size} ${ino} ${mtimeNs} ${ctimeNs}\n`;
}
