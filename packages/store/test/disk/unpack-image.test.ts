import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAppError, sha256 } from "@ckmesh/core";
import { buildIndex, encodePackHeader, fixedVhdFooter, writeFrameRecord } from "@ckmesh/image";
import { hasTool } from "@ckmesh/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dynamicVhd } from "../../../image/test/vhd-file.js";
import type { UnpackFormat } from "../../src/disk/disk-layout.js";
import { unpackImage } from "../../src/disk/unpack-image.js";
import { openIndex } from "../../src/pack/open-index.js";
import { packImage } from "../../src/pack/pack-image.js";
import { verifyImage } from "../../src/pack/verify-image.js";
import { testDisk, testFolder } from "../test-disk.js";

/** Optional: another implementation of VHD to compare with. */
const QEMU_IMG = "qemu-img";

async function pack(folder: string, file: Uint8Array): Promise<string> {
  const diskPath = join(folder, "disk.img");
  await writeFile(diskPath, file);
  return (await packImage({ diskPath, name: "Win", outDir: folder })).indexPath;
}

async function unpack(folder: string, indexPath: string, format: UnpackFormat): Promise<Buffer> {
  const outPath = join(folder, `out.${format}`);
  await unpackImage({ indexPath, outPath, format });
  return await readFile(outPath);
}

describe("unpackImage", () => {
  const disk = testDisk(700);
  const vhd = Buffer.concat([disk, fixedVhdFooter(disk.length, 1_500_000_000, new Uint8Array(16).fill(8))]);
  const sparse = Buffer.from(disk).fill(0, 2 * 65_536, 5 * 65_536);
  const dynamic = dynamicVhd({
    disk: sparse,
    blockBytes: 65_536,
    order: [...Array.from({ length: 44 }).keys()].filter((i) => i < 2 || i > 4).toReversed(),
  });

  it.each<[string, Buffer, Buffer]>([
    ["raw", disk, disk],
    ["fixed VHD", vhd, disk],
    ["dynamic VHD", Buffer.from(dynamic), sparse],
  ])("gives a %s back as it was, as raw disk, and as fixed VHD", async (_, file, content) => {
    const folder = await testFolder();
    const indexPath = await pack(folder, file);
    expect((await unpack(folder, indexPath, "original")).equals(file)).toBe(true);
    expect((await unpack(folder, indexPath, "raw")).equals(content)).toBe(true);
    const asVhd = await unpack(folder, indexPath, "vhd");
    expect(asVhd.subarray(0, content.length).equals(content)).toBe(true);
    expect(asVhd.toString("latin1", content.length, content.length + 8)).toBe("conectix");
  });

  it.skipIf(!hasTool(QEMU_IMG, ["--version"], "VHDs beside those of qemu-img"))(
    "packs what qemu-img makes, and qemu-img reads what it unpacks",
    async () => {
      const folder = await testFolder();
      const [raw, made] = [join(folder, "raw.img"), join(folder, "made.vhd")];
      await writeFile(raw, Buffer.concat([disk, Buffer.alloc(2 ** 20), disk]));
      qemuImg(["convert", "-O", "vpc", "-o", "subformat=dynamic", raw, made]);
      const { indexPath } = await packImage({ diskPath: made, name: "Qemu", outDir: folder });
      expect((await unpack(folder, indexPath, "original")).equals(await readFile(made))).toBe(true);
      await unpack(folder, indexPath, "vhd");
      await unpack(folder, indexPath, "raw");
      const compare = (a: string, b: string): string =>
        String(qemuImg(["compare", "-f", "vpc", "-F", "raw", join(folder, a), join(folder, b)]));
      expect(compare("made.vhd", "out.raw")).toContain("identical");
      expect(compare("out.vhd", "out.raw")).toContain("identical");
    },
  );

  it("leaves holes where the disk is zero", async () => {
    const folder = await testFolder();
    const indexPath = await pack(folder, Buffer.concat([Buffer.alloc(16 * 2 ** 20), disk]));
    await unpack(folder, indexPath, "raw");
    const { blocks, size } = await stat(join(folder, "out.raw"));
    expect(blocks * 512).toBeLessThan(size - 15 * 2 ** 20);
  });

  it("keeps a file that is already there unless told to replace it", async () => {
    const folder = await testFolder();
    const indexPath = await pack(folder, disk);
    const outPath = join(folder, "disk.img");
    await expect(unpackImage({ indexPath, outPath })).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
    await unpackImage({ indexPath, outPath, replace: true, mode: 0o444 });
    expect((await stat(outPath)).mode & 0o777).toBe(0o444);
  });

  it("never makes another disk, and says what is wrong, when a frame is damaged anywhere", async () => {
    const folder = await testFolder();
    const indexPath = await pack(folder, disk);
    const packPath = join(folder, "Win_1.ckm");
    const good = await readFile(packPath);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: good.length - 1 }), fc.nat(7), async (at, bit) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ (1 << bit);
        await writeFile(packPath, bad);
        const outPath = join(folder, "bad");
        // A bit of which zstd makes no use does no harm to the disk.
        const outcome = await unpackImage({ indexPath, outPath }).then(
          async () => ((await readFile(outPath)).equals(disk) ? "the same disk" : "another disk"),
          (err: unknown) => (isAppError(err, "ERR_PACK_INVALID") ? "refused" : err),
        );
        expect(["the same disk", "refused"]).toContain(outcome);
        await rm(outPath, { force: true });
        await expect(verifyImage(indexPath, { depth: "hashes" })).rejects.toMatchObject({
          code: "ERR_PACK_INVALID",
        });
      }),
      { numRuns: 8 },
    );
    expect((await readdir(folder)).toSorted()).toEqual(["Win_1.ckm", "Win_1.ckm.index", "disk.img"]);
  });

  it("names the frame that is damaged", async () => {
    const folder = await testFolder();
    const indexPath = await pack(folder, disk);
    const packPath = join(folder, "Win_1.ckm");
    const packed = await readFile(packPath);
    await writeFile(packPath, packed.fill(0, packed.length - 100));
    const { counts } = (await openIndex(indexPath)).head;
    await expect(unpackImage({ indexPath, outPath: join(folder, "bad") })).rejects.toMatchObject({
      code: "ERR_PACK_INVALID",
      details: { frame: counts.frames - 1 },
    });
  });

  it("refuses packs that are truncated, longer, missing, or of another version", async () => {
    const [folder, other] = [await testFolder(), await testFolder()];
    const indexPath = await pack(folder, disk);
    const otherIndex = await pack(other, disk);
    const outPath = join(folder, "out");
    const packPath = join(folder, "Win_1.ckm");
    await expect(
      unpackImage({ indexPath, packPath: join(other, "Win_1.ckm"), outPath }),
    ).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
    await expect(unpackImage({ indexPath, packPath: join(folder, "none"), outPath })).rejects.toMatchObject({
      code: "ERR_FILE_NOT_FOUND",
    });
    await truncate(packPath, (await stat(packPath)).size - 1);
    await expect(unpackImage({ indexPath, outPath })).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
    await expect(verifyImage(otherIndex)).resolves.toMatchObject({ pages: 3 });
    await truncate(indexPath, 5000);
    await expect(verifyImage(indexPath)).rejects.toMatchObject({ code: "ERR_INDEX_INVALID" });
  });

  it("stops when told to", async () => {
    const folder = await testFolder();
    const indexPath = await pack(folder, testDisk(6000));
    const stop = new AbortController();
    const work = unpackImage({
      indexPath,
      outPath: join(folder, "out"),
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    await expect(work).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect(existsSync(join(folder, "out"))).toBe(false);
  });
});

const CONTENT = Buffer.alloc(65_536, "content of one frame ");

/** Replaces the one frame, its raw hash, or the pages of a packed disk, with hashes over them that are right. */
async function forge(
  folder: string,
  forged: { packed?: Uint8Array; rawHash?: Uint8Array; pages?: Uint8Array },
): Promise<string> {
  const indexPath = await pack(folder, CONTENT);
  const index = await openIndex(indexPath);
  const packPath = join(folder, "Win_1.ckm");
  const packed = forged.packed ?? (await readFile(packPath)).subarray(64);
  const record = new Uint8Array(52);
  writeFrameRecord(record, {
    packedLength: packed.length,
    sectors: index.head.counts.sectors,
    hash: sha256(packed),
    rawHash: forged.rawHash ?? sha256(CONTENT.subarray(0, index.head.counts.sectors * 4096)),
  });
  const sections = new Map([
    ["container", await index.section("container")],
    ["frames", record],
    ["map", await index.section("map")],
    ["pages", forged.pages ?? (await index.section("pages"))],
  ] as const);
  const head = { ...index.head, pack: { length: 64 + packed.length, sha256: sha256(packed) } };
  const built = buildIndex(head, sections, []);
  await writeFile(indexPath, Buffer.concat(built.parts));
  await writeFile(packPath, Buffer.concat([encodePackHeader(head.pack.length, built.id), packed]));
  return indexPath;
}

describe("hostile publisher", () => {
  const blocks = Array.from({ length: 16 }, (_, i) => [i === 15 ? 3 : 2, 0, 0x10, 0]).flat();
  const bomb = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, ...blocks]);

  it.each<[string, Parameters<typeof forge>[1]]>([
    ["a frame that decompresses to 2 MiB", { packed: bomb }],
    ["a frame that is no zstd", { packed: Buffer.alloc(500, "no") }],
    ["pages of another disk", { pages: new Uint8Array(32) }],
  ])("with right hashes over %s gets no disk written", async (_, forged) => {
    const folder = await testFolder();
    const indexPath = await forge(folder, forged);
    const refused = { code: "ERR_PACK_INVALID" };
    await expect(verifyImage(indexPath)).rejects.toMatchObject(refused);
    await expect(unpackImage({ indexPath, outPath: join(folder, "out") })).rejects.toMatchObject(refused);
    expect(existsSync(join(folder, "out"))).toBe(false);
  });

  it("with a wrong raw hash does not pass verify; what is unpacked is proven by its pages", async () => {
    const folder = await testFolder();
    const indexPath = await forge(folder, { rawHash: new Uint8Array(16) });
    await expect(verifyImage(indexPath)).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
    expect((await unpack(folder, indexPath, "raw")).equals(CONTENT)).toBe(true);
  });
});

function qemuImg(args: readonly string[]): Buffer {
  return execFileSync(QEMU_IMG, args, { stdio: ["ignore", "pipe", "ignore"] });
}
