import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomInt, seededRandom } from "@ckmesh/core";
import {
  buildDeltaIndex,
  buildIndex,
  DeltaFile,
  DeltaRefsWriter,
  encodePackHeader,
  IndexFile,
  type SectionKind,
} from "@ckmesh/image";
import { fileSource } from "../src/files/file-io.js";
import { makeDelta, type PackResult, packImage } from "../src/index.js";
import { testFolder } from "./test-disk.js";

const SECTOR = 4096;
export const fixed = { createdAt: 1_700_000_000, secret: new Uint8Array(32).fill(1) };

export interface Versions {
  readonly folder: string;
  readonly first: PackResult;
  readonly second: PackResult;
}

/** Two versions in one folder; the second keeps frames of the first. */
export async function pack(before: Uint8Array, after: Uint8Array, into?: string): Promise<Versions> {
  const folder = into ?? (await testFolder());
  const make = async (disk: Uint8Array, more: object): Promise<PackResult> => {
    const diskPath = join(folder, "disk.img");
    await writeFile(diskPath, disk);
    return await packImage({ diskPath, name: "Win", outDir: folder, ...fixed, ...more });
  };
  const first = await make(before, {});
  return { folder, first, second: await make(after, { previous: folder }) };
}

/** A copy in which every fourth 32 KiB of the first half have a few other bytes: new, but like the old ones. */
export function patched(disk: Buffer): Buffer {
  const edited = Buffer.from(disk);
  const random = seededRandom(3);
  for (let sector = 0; sector < disk.length / SECTOR / 2; sector += sector % 32 < 7 ? 1 : 25) {
    for (let i = 0; i < 3; i += 1)
      edited[sector * SECTOR + randomInt(random, SECTOR)] = randomInt(random, 256);
  }
  return edited;
}

/** Sectors of random bytes. */
export function randomDisk(sectors: number): Buffer {
  const random = seededRandom(11);
  const disk = Buffer.alloc(sectors * SECTOR);
  for (let at = 0; at < disk.length; at += 4) disk.writeUInt32LE(randomInt(random, 2 ** 32), at);
  return disk;
}

export async function delta({ first, second }: Versions, more: object = {}): ReturnType<typeof makeDelta> {
  return await makeDelta({ basePath: first.indexPath, targetPath: second.indexPath, ...fixed, ...more });
}

/** Changes one byte of a file. */
export async function damage(path: string, at: number): Promise<void> {
  const file = await open(path, "r+");
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer[0] = (buffer[0] ?? 0) ^ 1;
  await file.write(buffer, 0, 1, at);
  await file.close();
}

/** A pair on the disk. */
interface PairPaths {
  readonly indexPath: string;
  readonly packPath: string;
}

/** Makes the references of a delta those of other sectors of the base. */
export async function forgeRefs({ indexPath, packPath }: PairPaths): Promise<void> {
  const good = await DeltaFile.open(await fileSource(indexPath));
  const refs = await good.refs();
  const writer = new DeltaRefsWriter();
  for (let k = 0; k < refs.count; k += 1) {
    const runs = refs.runs(k).map(({ first, count }) => ({ first: first + 64, count }));
    writer.add(refs.targetFrame(k), runs);
  }
  const { sections: _, hashesSha256: __, ...head } = good.head;
  const frames = await good.section("frames");
  const forged = buildDeltaIndex(head, { frames, refs: writer.finish() }, []);
  await writeFile(indexPath, Buffer.concat(forged.parts));
  await reHead(packPath, forged.id, head.pack.length);
}

/** Makes a version one that was packed by a codec of another fingerprint. */
export async function makeForeign({ indexPath, packPath }: PairPaths): Promise<void> {
  const own = await IndexFile.open(await fileSource(indexPath));
  const { sections, hashesSha256: _, ...head } = own.head;
  const bytes = new Map<Exclude<SectionKind, "hashes">, Uint8Array>();
  for (const { kind } of sections) if (kind !== "hashes") bytes.set(kind, await own.section(kind));
  const codecs = head.codecs.map((entry) => ({ ...entry, fingerprint: new Uint8Array(32) }));
  const foreign = buildIndex({ ...head, codecs }, bytes, []);
  await writeFile(indexPath, Buffer.concat(foreign.parts));
  await reHead(packPath, foreign.id, head.pack.length);
}

/** Makes a pack the one of an index with that id. */
async function reHead(packPath: string, id: Uint8Array, length: number): Promise<void> {
  const file = await open(packPath, "r+");
  await file.write(encodePackHeader(length, id), 0, 64, 0);
  await file.close();
}
