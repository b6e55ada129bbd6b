import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeDelta, packImage, verifyDelta } from "../src/index.js";
import {
  damage,
  delta,
  fixed,
  forgeRefs,
  makeForeign,
  pack,
  patched,
  randomDisk,
  type Versions,
} from "./delta-versions.js";
import { testDisk, testFolder } from "./test-disk.js";

/** Up to five packs and deltas in a test, each on threads that have to start: seconds where the machine is busy. */
const timeout = 60_000;

const code = (name: string): unknown => expect.objectContaining({ code: name });

describe("makeDelta", { timeout }, () => {
  it("makes a small pair beside the newer version that yields its new frames, byte for byte", async () => {
    const disk = randomDisk(512);
    const versions = await pack(disk, patched(disk));
    const made = await delta(versions);
    expect(made.packPath).toBe(join(versions.folder, "Win_2.from_1.ckm"));
    expect(made.newBytes + 64, "a pack counts its header").toBe(versions.second.newBytes);
    expect(made).toMatchObject({ name: "Win", version: 2, baseVersion: 1, plainBytes: 0 });
    expect(made.packBytes).toBeLessThan(0.05 * versions.second.newBytes);
    await expect(verifyDelta(made.indexPath)).resolves.toMatchObject({
      frames: made.newFrames,
      isApplied: true,
      packedAgain: made.newFrames,
    });
  });

  it("gives the same bytes for the same versions, however many threads work", async () => {
    const versions = await pack(testDisk(2000), patched(testDisk(2000)));
    const one = await delta(versions, { threads: 1 });
    const other = await testFolder();
    for (const file of (await readdir(versions.folder)).filter((name) => !name.includes("from")))
      await copyFile(join(versions.folder, file), join(other, file));
    const three = await makeDelta({
      basePath: join(other, "Win_1.ckm.index"),
      targetPath: join(other, "Win_2.ckm.index"),
      threads: 3,
      ...fixed,
    });
    expect(one.frames).toBeGreaterThan(0);
    expect((await readFile(one.packPath)).equals(await readFile(three.packPath))).toBe(true);
    expect((await readFile(one.indexPath)).equals(await readFile(three.indexPath))).toBe(true);
  });

  it("leaves out frames that resemble nothing, and those that the base has", async () => {
    const disk = randomDisk(128);
    const fresh = Buffer.from(randomDisk(256).subarray(128 * 4096));
    const none = await delta(await pack(disk, fresh));
    expect(none).toMatchObject({ frames: 0, newFrames: 8, plainBytes: none.newBytes });
    await expect(verifyDelta(none.indexPath)).resolves.toMatchObject({ frames: 0, isApplied: true });
    const equal = await delta(await pack(disk, disk));
    expect(equal).toMatchObject({ frames: 0, newFrames: 0, newBytes: 0, packBytes: 64 });
  });

  it("leads over several versions: frames that an older base lacks are in the delta, kept ones too", async () => {
    const disk = randomDisk(512);
    const versions = await pack(disk, patched(disk));
    const diskPath = join(versions.folder, "disk.img");
    const third = await packImage({
      diskPath,
      name: "Win",
      outDir: versions.folder,
      previous: versions.folder,
      ...fixed,
    });
    expect(third.keptFrames).toBe(third.frames);
    const made = await makeDelta({ basePath: versions.first.indexPath, targetPath: third.indexPath });
    expect(made.frames).toBeGreaterThan(0);
    await expect(verifyDelta(made.indexPath)).resolves.toMatchObject({ packedAgain: made.newFrames });
  });

  it("survives sectors that begin like a zstd dictionary", async () => {
    const disk = randomDisk(256);
    for (let at = 0; at < disk.length; at += 4096) disk.set([0x37, 0xa4, 0x30, 0xec], at);
    const made = await delta(await pack(disk, patched(disk)));
    expect(made.frames).toBeGreaterThan(0);
    await expect(verifyDelta(made.indexPath)).resolves.toMatchObject({ packedAgain: made.frames });
  });

  it("refuses other images, the wrong order, and a pair that is there", async () => {
    const disk = randomDisk(64);
    const versions = await pack(disk, patched(disk));
    const { first, second, folder } = versions;
    const turned = makeDelta({ basePath: second.indexPath, targetPath: first.indexPath });
    await expect(turned).rejects.toThrow(code("ERR_USAGE"));
    const other = await packImage({
      diskPath: join(folder, "disk.img"),
      name: "Mac",
      outDir: folder,
      version: 9,
    });
    const foreign = makeDelta({ basePath: first.indexPath, targetPath: other.indexPath });
    await expect(foreign).rejects.toThrow(code("ERR_USAGE"));
    await delta(versions);
    await expect(delta(versions)).rejects.toThrow(code("ERR_IMAGE_EXISTS"));
  });

  it("replaces a pack without its index, which a kill between two renames leaves, but no foreign file", async () => {
    const disk = randomDisk(64);
    const versions = await pack(disk, patched(disk));
    const made = await delta(versions);
    const bytes = await readFile(made.packPath);
    await rm(made.indexPath);
    await damage(made.packPath, 100);
    await delta(versions);
    expect((await readFile(made.packPath)).equals(bytes)).toBe(true);
    await rm(made.indexPath);
    await writeFile(made.packPath, "not ours");
    await expect(delta(versions)).rejects.toThrow(code("ERR_IMAGE_EXISTS"));
  });

  it("leaves nothing when it is stopped, or when the base is damaged", async () => {
    const disk = randomDisk(2048);
    const versions = await pack(disk, patched(disk));
    const before = await readdir(versions.folder);
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    await expect(delta(versions, { signal: stop.signal, onProgress })).rejects.toThrow(code("ERR_ABORTED"));
    await damage(versions.first.packPath, 5000);
    await expect(delta(versions)).rejects.toThrow(code("ERR_PACK_INVALID"));
    expect(await readdir(versions.folder)).toEqual(before);
  });
});

/** Two versions and the delta between them. */
async function makeAll(): Promise<Versions & { readonly indexPath: string; readonly packPath: string }> {
  const disk = randomDisk(256);
  const versions = await pack(disk, patched(disk));
  return { ...versions, ...(await delta(versions)) };
}

describe("verifyDelta", { timeout }, () => {
  it("checks the hashes alone where a version is missing, and says so", async () => {
    const { folder, indexPath, packPath } = await makeAll();
    const alone = join(folder, "alone");
    await mkdir(alone);
    await copyFile(indexPath, join(alone, "Win_2.from_1.ckm.index"));
    await copyFile(packPath, join(alone, "Win_2.from_1.ckm"));
    const path = join(alone, "Win_2.from_1.ckm.index");
    await expect(verifyDelta(path)).resolves.toMatchObject({ isApplied: false, packedAgain: 0 });
    await damage(join(alone, "Win_2.from_1.ckm"), 100);
    await expect(verifyDelta(path)).rejects.toThrow(code("ERR_PACK_INVALID"));
  });

  it("notices a damaged byte of the delta, its index, and the base that it needs", async () => {
    const { indexPath, packPath, first } = await makeAll();
    await damage(packPath, 100);
    await expect(verifyDelta(indexPath)).rejects.toThrow(code("ERR_PACK_INVALID"));
    await damage(packPath, 100);
    await damage(indexPath, 4200);
    await expect(verifyDelta(indexPath)).rejects.toThrow(code("ERR_INDEX_INVALID"));
    await damage(indexPath, 4200);
    await damage(first.packPath, 5000);
    await expect(verifyDelta(indexPath)).rejects.toThrow(code("ERR_PACK_INVALID"));
  });

  it("refuses a base of other content under the same number", async () => {
    const { indexPath, first } = await makeAll();
    const other = await pack(randomDisk(300), randomDisk(301));
    await copyFile(other.first.indexPath, first.indexPath);
    await copyFile(other.first.packPath, first.packPath);
    await expect(verifyDelta(indexPath)).rejects.toThrow(code("ERR_INDEX_INVALID"));
  });

  it("does without the pack of the newer version", async () => {
    const { indexPath, second } = await makeAll();
    await rm(second.packPath);
    await expect(verifyDelta(indexPath)).resolves.toMatchObject({ isApplied: true });
  });

  it("refuses a signed delta whose references are other sectors of the base, by the raw hash", async () => {
    const { indexPath, packPath } = await makeAll();
    await forgeRefs({ indexPath, packPath });
    await expect(verifyDelta(indexPath)).rejects.toThrow(/frame 0 of the delta yields other bytes/);
  });

  it("proves the raw bytes where another codec made the target, and packs nothing again", async () => {
    const disk = randomDisk(256);
    const versions = await pack(disk, patched(disk));
    await makeForeign(versions.second);
    const made = await delta(versions);
    expect(made.frames).toBeGreaterThan(0);
    await expect(verifyDelta(made.indexPath)).resolves.toMatchObject({ isApplied: true, packedAgain: 0 });
  });
});
