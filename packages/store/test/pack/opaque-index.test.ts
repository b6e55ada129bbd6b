import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { unpackImage } from "../../src/disk/unpack-image.js";
import { indexOpaquePack } from "../../src/pack/opaque-index.js";
import { openIndex } from "../../src/pack/open-index.js";
import { packImage } from "../../src/pack/pack-image.js";
import { verifyImage } from "../../src/pack/verify-image.js";
import { testDisk, testFolder } from "../test-disk.js";

describe("indexOpaquePack", () => {
  it.each([1, 65_536, 65_537, 3_000_001])(
    "indexes a foreign pack of %i bytes as stored frames",
    async (length) => {
      const folder = await testFolder();
      const packPath = join(folder, "Old_4.ckm");
      const indexPath = join(folder, "Old_4.ckm.frames.index");
      await writeFile(packPath, testDisk(800, 4).subarray(4096, 4096 + length));
      const id = await indexOpaquePack({ packPath, indexPath, name: "Old", version: 4 });
      const index = await openIndex(indexPath);
      const frames = await index.frames();
      expect(index.signed.idHex).toBe(id);
      expect(index.head.disk).toBeUndefined();
      expect([frames.count, frames.offset(0), frames.offset(frames.count)]).toEqual([
        Math.ceil(length / 65_536),
        0,
        length,
      ]);
      await expect(verifyImage(indexPath, { packPath })).resolves.toMatchObject({ pages: 0 });
      await expect(unpackImage({ indexPath, packPath, outPath: join(folder, "out") })).rejects.toMatchObject({
        code: "ERR_FORMAT_UNSUPPORTED",
      });
      const bad = await readFile(packPath);
      bad[length - 1] = (bad[length - 1] ?? 0) ^ 1;
      await writeFile(packPath, bad);
      await expect(verifyImage(indexPath, { packPath })).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
    },
  );

  it("refuses an empty pack and one of ours", async () => {
    const folder = await testFolder();
    const diskPath = join(folder, "disk.img");
    await writeFile(diskPath, testDisk(4));
    const { packPath } = await packImage({ diskPath, name: "Win", outDir: folder });
    const indexPath = join(folder, "x.index");
    await writeFile(join(folder, "empty.ckm"), "");
    await expect(indexOpaquePack({ packPath, indexPath, name: "Win", version: 1 })).rejects.toMatchObject({
      code: "ERR_PACK_INVALID",
    });
    await expect(
      indexOpaquePack({ packPath: join(folder, "empty.ckm"), indexPath, name: "Win", version: 1 }),
    ).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
  });
});
