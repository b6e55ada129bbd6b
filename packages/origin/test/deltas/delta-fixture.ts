import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { randomInt, seededRandom } from "@ckmesh/core";
import { type DeltaOptions, makeDelta, type PackOptions, packImage } from "@ckmesh/store";
import type { MadePair } from "../make-pair.js";

const SECTOR = 4096;
const FIXED = { createdAt: 1_700_000_000, secret: new Uint8Array(32).fill(1), threads: 1 };

/** 1 MiB of noise, of which each version has changed a few bytes here and there. */
function disks(count: number): readonly Buffer[] {
  const random = seededRandom(11);
  const disk = Buffer.alloc(256 * SECTOR);
  for (let at = 0; at < disk.length; at += 4) disk.writeUInt32LE(randomInt(random, 2 ** 32), at);
  return Array.from({ length: count }, () => {
    for (let sector = 0; sector < 128; sector += sector % 32 < 7 ? 1 : 25) {
      disk[sector * SECTOR + randomInt(random, SECTOR)] = randomInt(random, 256);
    }
    return Buffer.from(disk);
  });
}

/** Versions of one image on the disk, from 1 on, each packed after the one before. */
export class VersionChain {
  readonly name = "Win";
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async pack(folder: string, count: number, more: Partial<PackOptions> = {}): Promise<VersionChain> {
    const chain = new VersionChain(folder);
    for (const [i, disk] of disks(count).entries()) {
      const diskPath = join(folder, "disk.img");
      writeFileSync(diskPath, disk);
      const previous = i === 0 ? {} : { previous: chain.#path(`Win_${i}.ckm.index`) };
      // oxlint-disable-next-line no-await-in-loop -- each follows the one before
      await packImage({
        diskPath,
        name: "Win",
        version: i + 1,
        outDir: folder,
        ...previous,
        ...FIXED,
        ...more,
      });
    }
    return chain;
  }

  version(n: number): MadePair {
    return this.#pair(`Win_${n}.ckm`);
  }

  /** Makes the delta beside the versions. */
  async delta(from: number, to: number, more: Partial<DeltaOptions> = {}): Promise<MadePair> {
    const { packPath } = await makeDelta({
      basePath: this.#path(`Win_${from}.ckm.index`),
      targetPath: this.#path(`Win_${to}.ckm.index`),
      ...FIXED,
      ...more,
    });
    return this.#pair(basename(packPath));
  }

  #path(file: string): string {
    return join(this.folder, file);
  }

  #pair(packName: string): MadePair {
    const indexName = `${packName}.index`;
    const pack = readFileSync(this.#path(packName));
    // Of a pack's header (format, section "Pack").
    const idHex = pack.subarray(16, 48).toString("hex");
    return { packName, indexName, pack, index: readFileSync(this.#path(indexName)), idHex };
  }
}
