import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { unpackImage } from "../src/disk/unpack-image.js";
import { packImage } from "../src/pack/pack-image.js";
import { canMountSmallDisk, smallDisk } from "./small-disk.js";
import { testDisk, testFolder } from "./test-disk.js";

/** Packs with the built package in a process of its own, and says on its output when it has begun. */
const SCRIPT = `
const { packImage } = await import(process.argv[1]);
let isSaid = false;
await packImage({ diskPath: process.argv[2], name: "Win", outDir: process.argv[3], level: 12, onProgress: () => {
  if (!isSaid) process.stdout.write("begun\\n");
  isSaid = true;
} });
`;

describe("interrupted packing", () => {
  it("leaves nothing under a final name after kill -9, and the next run succeeds", async () => {
    const folder = await testFolder();
    const diskPath = join(folder, "disk.img");
    const disk = testDisk(8000);
    await writeFile(diskPath, disk);
    const built = new URL("../dist/index.js", import.meta.url).href;
    const child = spawn(process.execPath, ["--input-type=module", "-e", SCRIPT, built, diskPath, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const left = await readdir(folder);
    expect(left.filter((file) => /^Win_1\.ckm(\.index)?$/.test(file))).toEqual([]);
    expect(left.filter((file) => file.endsWith(".tmp"))).toHaveLength(2);
    const { indexPath } = await packImage({ diskPath, name: "Win", outDir: folder });
    await unpackImage({ indexPath, outPath: join(folder, "out") });
    expect((await readFile(join(folder, "out"))).equals(disk)).toBe(true);
  });
});

describe("full disk", () => {
  it.skipIf(!canMountSmallDisk())(
    "is ERR_STORE_FULL for packing and unpacking, and leaves nothing behind",
    async () => {
      const folder = await testFolder();
      const small = await smallDisk(join(folder, "small"), "2m");
      const diskPath = join(folder, "disk.img");
      await writeFile(diskPath, testDisk(4000));
      await expect(packImage({ diskPath, name: "Win", outDir: small })).rejects.toMatchObject({
        code: "ERR_STORE_FULL",
      });
      const { indexPath } = await packImage({ diskPath, name: "Win", outDir: folder });
      await expect(unpackImage({ indexPath, outPath: join(small, "out") })).rejects.toMatchObject({
        code: "ERR_STORE_FULL",
      });
      expect(await readdir(small)).toEqual([]);
    },
  );
});
