import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomInt, seededRandom } from "@ckmesh/core";
import { onTestFinished } from "vitest";

const SECTOR = 4096;

/** A folder that is gone after the test. */
export async function testFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ckmesh-store-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A disk of zero, text-like, random and repeated sectors; the same for the same seed. */
export function testDisk(sectors: number, seed = 1): Buffer {
  const random = seededRandom(seed);
  const disk = Buffer.alloc(sectors * SECTOR);
  for (let i = 0; i < sectors; i += 1) {
    const sector = disk.subarray(i * SECTOR, (i + 1) * SECTOR);
    const kind = random.next();
    if (kind < 0.25) continue;
    if (kind < 0.4 && i > 0) disk.copy(sector, 0, randomInt(random, i) * SECTOR);
    else if (kind < 0.8) sector.fill(`${seed} sector ${i} ${randomInt(random, 1e9)} `);
    else for (let k = 0; k < SECTOR; k += 1) sector[k] = randomInt(random, 256);
  }
  return disk;
}

/** A copy with some sectors replaced by new content, zeros, or content from elsewhere on the disk. */
export function editDisk(disk: Buffer, seed: number, edits: number): Buffer {
  const random = seededRandom(seed);
  const edited = Buffer.from(disk);
  const sectors = edited.length / SECTOR;
  for (let i = 0; i < edits; i += 1) {
    const to = randomInt(random, sectors) * SECTOR;
    const kind = random.next();
    if (kind < 0.5) edited.fill(`edit ${seed} ${i} `, to, to + SECTOR);
    else if (kind < 0.7) edited.fill(0, to, to + SECTOR);
    else {
      const from = randomInt(random, sectors) * SECTOR;
      edited.copy(edited, to, from, from + SECTOR);
    }
  }
  return edited;
}
