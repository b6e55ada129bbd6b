import { chmod, mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CloneFolder, openCloneFolder } from "@ckmesh/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { dynamicVhd } from "../../image/test/vhd-file.js";
import type { UnpackFormat } from "../src/disk/disk-layout.js";
import { type UnpackResult, unpackImage } from "../src/disk/unpack-image.js";
import { packImage } from "../src/pack/pack-image.js";
import { testDisk, testFolder } from "./test-disk.js";

const clones: CloneFolder | undefined = openCloneFolder("disks that are made from clones");
afterAll(() => clones?.close());

const PAGE = 2 ** 20;

async function cloneFolder(): Promise<string> {
  return await mkdtemp(join(clones?.dir ?? "", "pair-"));
}

/** Two versions of a disk: their indexes, and the disk of the first one rebuilt. */
async function twoVersions(
  folder: string,
  format: UnpackFormat,
  [before, after]: readonly [Uint8Array, Uint8Array],
): Promise<{ readonly base: { indexPath: string; diskPath: string }; update: () => Promise<UnpackResult> }> {
  const diskPath = join(folder, "input");
  await writeFile(diskPath, before);
  const first = await packImage({ diskPath, name: "Win", outDir: folder, threads: 1 });
  await writeFile(diskPath, after);
  const { indexPath } = await packImage({
    diskPath,
    name: "Win",
    outDir: folder,
    previous: first.indexPath,
    threads: 1,
  });
  const base = { indexPath: first.indexPath, diskPath: join(folder, "one") };
  await unpackImage({
    indexPath: base.indexPath,
    outPath: base.diskPath,
    format,
    mode: 0o440,
    stamp: true,
    threads: 1,
  });
  const update = async (): Promise<UnpackResult> =>
    await unpackImage({
      indexPath,
      outPath: join(folder, "two"),
      format,
      mode: 0o440,
      base,
      stamp: true,
      threads: 1,
    });
  return { base, update };
}

describe.skipIf(clones === undefined)("unpackImage with a base on a file system with clones", () => {
  const disk = testDisk(4 * 256);
  const edited = Buffer.from(disk)
    .fill("new ", PAGE + 8192, PAGE + 16_384)
    .fill(0, 2 * PAGE, 2 * PAGE + 65_536);
  const blockBytes = 65_536;
  const blocks = [...Array.from({ length: 64 }).keys()];

  it.each<[string, UnpackFormat, Uint8Array, Uint8Array, number]>([
    ["a disk that grew", "vhd", disk, Buffer.concat([edited, Buffer.alloc(PAGE), testDisk(20, 7)]), 4],
    ["a disk that shrank within a page", "raw", disk, edited.subarray(0, 3 * PAGE + 8192 + 512), 3],
    [
      "a dynamic VHD with a block that moved",
      "original",
      dynamicVhd({ disk, blockBytes, order: blocks.filter((i) => i !== 50) }),
      dynamicVhd({ disk: edited, blockBytes, order: [...blocks.filter((i) => i !== 50), 50] }),
      3,
    ],
  ])("rebuilds the changed pages of %s only", async (_, format, before, after, pages) => {
    const dir = await cloneFolder();
    const { update } = await twoVersions(dir, format, [before, after]);
    expect(await update()).toMatchObject({ isClone: true, rebuiltPages: pages });
    const plain = join(dir, "plain");
    await unpackImage({ indexPath: join(dir, "Win_2.ckm.index"), outPath: plain, format, threads: 1 });
    expect((await readFile(join(dir, "two"))).equals(await readFile(plain))).toBe(true);
    expect((await stat(join(dir, "two"))).mode & 0o777).toBe(0o440);
  });

  it("does not build on a disk that somebody wrote to since it was proven", async () => {
    const dir = await cloneFolder();
    const { base, update } = await twoVersions(dir, "raw", [disk, edited]);
    await chmod(base.diskPath, 0o600);
    await writeFile(base.diskPath, "no longer what it was", { flag: "r+" });
    expect(await update()).toMatchObject({ isClone: false, rebuiltPages: 4 });
    expect((await readFile(join(dir, "two"))).equals(edited)).toBe(true);
  });

  it("names no file when a frame that it needs is damaged", async () => {
    const dir = await cloneFolder();
    const { update } = await twoVersions(dir, "raw", [disk, edited]);
    const path = join(dir, "Win_2.ckm");
    const pack = await readFile(path);
    await writeFile(path, pack.fill(0, pack.length - 40));
    await expect(update()).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
    expect((await readdir(dir)).filter((name) => name.includes("two"))).toEqual([]);
  });
});

describe("unpackImage with a base on a file system without clones", () => {
  it.skipIf(process.platform === "darwin")("rebuilds the whole disk", async () => {
    const dir = await testFolder();
    const disk = testDisk(300);
    const { update } = await twoVersions(dir, "raw", [disk, Buffer.from(disk).fill("new ", 0, 8192)]);
    const result = await update();
    expect(result.rebuiltPages).toBe(result.isClone ? 1 : 2);
    expect(String((await readFile(join(dir, "two"))).subarray(0, 8))).toBe("new new ");
  });
});
