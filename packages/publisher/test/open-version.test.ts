import { appendFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packImage } from "@ckmesh/store";
import { describe, expect, it } from "vitest";
import { openVersion } from "../src/open-version.js";
import { makeFile, tempFolder } from "./upload-fixtures.js";

async function pair(name = "A"): Promise<{ folder: string; index: string; pack: string }> {
  const folder = await tempFolder();
  const disk = join(folder, "disk");
  await makeFile(disk, 1_000_000);
  await packImage({ diskPath: disk, name, outDir: folder });
  return { folder, index: join(folder, `${name}_1.ckm.index`), pack: join(folder, `${name}_1.ckm`) };
}

describe("a version to upload", () => {
  it("is named by its index, and has both files", async () => {
    const { index } = await pair();
    const version = await openVersion(index);
    expect([version.name, version.version]).toEqual(["A", 1]);
    expect(version.pack.size).toBeGreaterThan(1_000_000);
    await version.close();
  });

  it("has its whole pack", async () => {
    const { index, pack } = await pair();
    await appendFile(pack, "x");
    await expect(openVersion(index)).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
  });

  it("has the pack of its own", async () => {
    const [one, two] = [await pair(), await pair()];
    await rename(two.pack, one.pack);
    await expect(openVersion(one.index)).rejects.toMatchObject({ code: "ERR_PACK_INVALID" });
  });

  it("is given by its index", async () => {
    const { pack } = await pair();
    await expect(openVersion(pack)).rejects.toMatchObject({ code: "ERR_USAGE" });
  });

  it("has an index that is one", async () => {
    const { index } = await pair();
    await writeFile(index, "x".repeat(10_000));
    await expect(openVersion(index)).rejects.toMatchObject({ code: "ERR_FORMAT_UNSUPPORTED" });
    await writeFile(index, "");
    await expect(openVersion(index)).rejects.toMatchObject({ code: "ERR_INDEX_INVALID" });
  });
});
