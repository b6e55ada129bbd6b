import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkTrust, publicKeyBytes } from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import { unpackImage } from "../../src/disk/unpack-image.js";
import { openIndex } from "../../src/pack/open-index.js";
import { type PackOptions, packImage } from "../../src/pack/pack-image.js";
import { verifyImage } from "../../src/pack/verify-image.js";
import { editDisk, testDisk, testFolder } from "../test-disk.js";

/** Four packs and three disks, each on threads that have to start: seconds where the machine is busy. */
const STARTS_MS = 60_000;

const fixed = { createdAt: 1_700_000_000, secret: new Uint8Array(32).fill(1) };

async function pack(
  folder: string,
  disk: Uint8Array,
  options: Partial<PackOptions> = {},
): ReturnType<typeof packImage> {
  const diskPath = join(folder, "disk.img");
  await writeFile(diskPath, disk);
  return await packImage({ diskPath, name: "Win", outDir: folder, ...fixed, ...options });
}

async function unpacked(folder: string, indexPath: string): Promise<Buffer> {
  const outPath = join(folder, "out.img");
  await unpackImage({ indexPath, outPath, replace: true });
  return await readFile(outPath);
}

describe("packImage", () => {
  it.each([
    ["one byte", Buffer.from("x")],
    ["zeros", Buffer.alloc(3 * 2 ** 20)],
    ["zeros and an odd end", Buffer.alloc(2 ** 20 + 5)],
    ["a page and an odd sector", Buffer.concat([testDisk(256), Buffer.from("tail")])],
    ["many pages", testDisk(1500)],
  ])("gives back %s byte for byte", async (_, disk) => {
    const folder = await testFolder();
    const result = await pack(folder, disk);
    expect((await unpacked(folder, result.indexPath)).equals(disk)).toBe(true);
    await expect(verifyImage(result.indexPath)).resolves.toMatchObject({
      pages: Math.ceil(disk.length / 2 ** 20),
    });
  });

  it("puts sectors on the grid of a volume that begins at sector 63, in updates too", async () => {
    const folder = await testFolder();
    const start = Buffer.alloc(63 * 512);
    start.write("80000000070000003f000000", 446, "hex"); // active, NTFS, first sector 63
    start.writeUInt32LE(1600, 446 + 12);
    start.writeUInt16BE(0x55aa, 510);
    const clusters = testDisk(200);
    const disk = Buffer.concat([start, clusters, Buffer.alloc(512 * 3, "tail")]);
    const first = await pack(folder, disk);
    expect((await openIndex(first.indexPath)).head.disk?.gridOffset).toBe(3584);
    const moved = Buffer.concat([
      start,
      clusters.subarray(4096),
      clusters.subarray(0, 4096),
      disk.subarray(-1536),
    ]);
    const second = await pack(folder, moved, { previous: folder });
    expect(second).toMatchObject({ keptFrames: first.frames, newBytes: 64 });
    expect((await unpacked(folder, second.indexPath)).equals(moved)).toBe(true);
    await expect(verifyImage(second.indexPath)).resolves.toBeDefined();
  });

  it("stores equal sectors once and zero sectors not at all", async () => {
    const folder = await testFolder();
    const sector = Buffer.alloc(4096, "equal");
    const disk = Buffer.concat([sector, Buffer.alloc(8192), sector, sector]);
    const result = await pack(folder, disk);
    expect(result).toMatchObject({
      version: 1,
      usedBytes: 3 * 4096,
      uniqueBytes: 4096,
      frames: 1,
      keptFrames: 0,
    });
    expect((await stat(result.packPath)).size).toBe(result.packBytes);
    expect((await stat(result.indexPath)).size).toBe(result.indexBytes);
  });

  it("gives the same bytes for the same input, however many threads work", async () => {
    const [a, b] = [await testFolder(), await testFolder()];
    const disk = testDisk(2000);
    const one = await pack(a, disk, { threads: 1 });
    const three = await pack(b, disk, { threads: 3 });
    expect((await readFile(one.packPath)).equals(await readFile(three.packPath))).toBe(true);
    expect((await readFile(one.indexPath)).equals(await readFile(three.indexPath))).toBe(true);
  });

  it("makes a new secret for each version", async () => {
    const [a, b] = [await testFolder(), await testFolder()];
    const disk = testDisk(10);
    const heads = [a, b].map(async (folder) => {
      const diskPath = join(folder, "disk.img");
      await writeFile(diskPath, disk);
      const { indexPath } = await packImage({ diskPath, name: "Win", outDir: folder });
      return (await openIndex(indexPath)).head;
    });
    const [one, other] = await Promise.all(heads);
    expect(one?.secret).not.toEqual(other?.secret);
  });

  it("signs for the trust rule", async () => {
    const folder = await testFolder();
    const { privateKey } = generateKeyPairSync("ed25519");
    const { indexPath } = await pack(folder, testDisk(5), { signers: [privateKey] });
    const { signed } = await openIndex(indexPath);
    const stranger = generateKeyPairSync("ed25519").privateKey;
    expect(
      checkTrust(signed, { publishers: [publicKeyBytes(privateKey)], signature: "required" }),
    ).toBeUndefined();
    expect(() =>
      checkTrust(signed, { publishers: [publicKeyBytes(stranger)], signature: "required" }),
    ).toThrow("publisher");
  });

  it("keeps frames of the previous version byte for byte, at the front and in their order", async () => {
    const folder = await testFolder();
    const disk = testDisk(3000);
    const first = await pack(folder, disk);
    const edited = editDisk(disk, 9, 150);
    const second = await pack(folder, edited, { previous: folder, level: 9 });
    const [old, index] = [await openIndex(first.indexPath), await openIndex(second.indexPath)];
    const [oldFrames, frames] = [await old.frames(), await index.frames()];
    const [oldPack, newPack] = [await readFile(first.packPath), await readFile(second.packPath)];
    const known = new Map(Array.from({ length: oldFrames.count }, (_, i) => [hex(oldFrames.hash(i)), i]));
    const origins = Array.from({ length: second.keptFrames }, (_, i) => known.get(hex(frames.hash(i))) ?? -1);
    expect(second).toMatchObject({ version: 2, previousVersion: 1 });
    expect(second.keptFrames).toBeGreaterThan(oldFrames.count / 2);
    expect(origins).toEqual(origins.toSorted((x, y) => x - y));
    expect(
      origins.every((from, i) =>
        oldPack
          .subarray(oldFrames.offset(from), oldFrames.offset(from + 1))
          .equals(newPack.subarray(frames.offset(i), frames.offset(i + 1))),
      ),
    ).toBe(true);
    expect(index.head.previous).toEqual({ version: 1, id: Buffer.from(old.signed.id) });
    expect(index.head.codecs.map(({ level, firstFrame }) => [level, firstFrame])).toEqual([
      [3, 0],
      [9, second.keptFrames],
    ]);
    expect((await unpacked(folder, second.indexPath)).equals(edited)).toBe(true);
    await verifyImage(second.indexPath);
  });

  it("drops a frame of which less than half is still in use, and packs the rest of it anew", async () => {
    const folder = await testFolder();
    const disk = Buffer.concat(Array.from({ length: 32 }, (_, i) => Buffer.alloc(4096, `only ${i} `)));
    await pack(folder, disk);
    const edited = Buffer.from(disk);
    edited.fill(0, 0, 9 * 4096); // 7 of 16 sectors of frame 0 live
    edited.fill(0, 16 * 4096, 24 * 4096); // 8 of 16 of frame 1
    const second = await pack(folder, edited, { previous: join(folder, "Win_1.ckm.index") });
    expect(second).toMatchObject({ keptFrames: 1, frames: 2, uniqueBytes: (16 + 7) * 4096 });
    expect((await unpacked(folder, second.indexPath)).equals(edited)).toBe(true);
  });

  it(
    "survives a chain of versions, each made from the one before",
    async () => {
      const folder = await testFolder();
      let disk = testDisk(1200);
      await pack(folder, disk);
      // One more with each level.
      for (let version = 2; version <= 4; version += 1) {
        disk = editDisk(disk, version, 200);
        const result = await pack(folder, disk, { previous: folder, level: (version % 3) + 1 });
        expect(result.version).toBe(version);
        expect((await unpacked(folder, result.indexPath)).equals(disk)).toBe(true);
      }
      await verifyImage(join(folder, "Win_4.ckm.index"));
    },
    STARTS_MS,
  );

  it("costs nothing but an index to publish the same disk again", async () => {
    const folder = await testFolder();
    const disk = testDisk(600);
    const first = await pack(folder, disk);
    const second = await pack(folder, disk, { previous: folder });
    expect(second).toMatchObject({ keptFrames: first.frames, frames: first.frames, newBytes: 64 });
  });

  it.each<[string, string, Partial<PackOptions>]>([
    ["a forbidden name", "ERR_IMAGE_NAME_INVALID", { name: "a b" }],
    ["level 13", "ERR_USAGE", { level: 13 }],
    ["version 0", "ERR_USAGE", { version: 0 }],
    ["a disk that is not there", "ERR_FILE_NOT_FOUND", { diskPath: "/nowhere/disk.img" }],
    ["a folder that is not there", "ERR_FILE_NOT_FOUND", { outDir: "/nowhere" }],
    ["a previous version that is not there", "ERR_FILE_NOT_FOUND", { previous: "/nowhere" }],
  ])("refuses %s with %s and leaves nothing", async (_, code, options) => {
    const folder = await testFolder();
    await expect(pack(folder, testDisk(4), options)).rejects.toMatchObject({ code });
    expect(await readdir(folder)).toEqual(["disk.img"]);
  });

  it("never replaces a version", async () => {
    const folder = await testFolder();
    await pack(folder, testDisk(4));
    await expect(pack(folder, testDisk(5))).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
    await rm(join(folder, "Win_1.ckm.index"));
    await expect(pack(folder, testDisk(5))).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
  });

  it("refuses a previous version of another image, a later one, and a damaged one", async () => {
    const folder = await testFolder();
    const first = await pack(folder, testDisk(100), { version: 3 });
    await expect(pack(folder, testDisk(4), { previous: first.indexPath, name: "Mac" })).rejects.toMatchObject(
      { code: "ERR_USAGE" },
    );
    await expect(pack(folder, testDisk(4), { previous: folder, version: 3 })).rejects.toMatchObject({
      code: "ERR_USAGE",
    });
    const bytes = await readFile(first.packPath);
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    await writeFile(first.packPath, bytes);
    await expect(pack(folder, testDisk(4), { previous: folder })).rejects.toMatchObject({
      code: "ERR_PACK_INVALID",
    });
    await rename(first.packPath, `${first.packPath}.away`);
    await expect(pack(folder, testDisk(4), { previous: folder })).rejects.toMatchObject({
      code: "ERR_FILE_NOT_FOUND",
    });
    expect((await readdir(folder)).filter((file) => file.includes("tmp"))).toEqual([]);
  });

  it("notices that the disk changes while it is packed", async () => {
    const folder = await testFolder();
    const disk = testDisk(600);
    let touched: Promise<void> | undefined;
    const onProgress = (): void => {
      touched ??= utimes(join(folder, "disk.img"), 1, 1);
    };
    await expect(pack(folder, disk, { onProgress })).rejects.toMatchObject({ code: "ERR_DISK_INVALID" });
    await touched;
    expect(existsSync(join(folder, "Win_1.ckm"))).toBe(false);
  });

  it("notices content that changes between the passes of an update", async () => {
    const folder = await testFolder();
    const disk = testDisk(1500);
    await pack(folder, disk);
    const before = await stat(join(folder, "disk.img"));
    let changed: Promise<void> | undefined;
    const onProgress = ({
      phase,
      bytesDone,
      bytesTotal,
    }: {
      phase: string;
      bytesDone: number;
      bytesTotal: number;
    }): void => {
      if (phase !== "pack" || bytesDone < bytesTotal) return;
      // The same size and time: only the content tells.
      changed ??= copyFile(join(folder, "other.img"), join(folder, "disk.img")).then(
        async () => await utimes(join(folder, "disk.img"), before.atime, before.mtime),
      );
    };
    await writeFile(join(folder, "other.img"), editDisk(disk, 77, 1000));
    const edited = editDisk(disk, 5, 1000);
    await expect(pack(folder, edited, { previous: folder, onProgress })).rejects.toMatchObject({
      code: "ERR_DISK_INVALID",
    });
    await changed;
    expect(existsSync(join(folder, "Win_2.ckm"))).toBe(false);
  });

  it("stops at once when told to, and leaves nothing", async () => {
    const folder = await testFolder();
    const stop = new AbortController();
    await expect(
      pack(folder, testDisk(3000), { signal: stop.signal, onProgress: () => stop.abort() }),
    ).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect(await readdir(folder)).toEqual(["disk.img"]);
  });

  it("removes what a killed process left an hour ago, and nothing younger", async () => {
    const folder = await testFolder();
    const [old, young] = [".Win_1.ckm.0123456789ab.tmp", ".Win_1.ckm.ba9876543210.tmp"];
    await writeFile(join(folder, old), "x");
    await writeFile(join(folder, young), "x");
    await utimes(join(folder, old), 1, 1);
    await pack(folder, testDisk(4));
    expect((await readdir(folder)).toSorted()).toEqual([young, "Win_1.ckm", "Win_1.ckm.index", "disk.img"]);
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
