import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { packImage } from "../src/pack-image.js";
import { unpackImage } from "../src/unpack-image.js";
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
  it.skipIf(!canMount())(
    "is ERR_STORE_FULL for packing and unpacking, and leaves nothing behind",
    async () => {
      const folder = await testFolder();
      const small = join(folder, "small");
      await mkdir(small);
      run("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]);
      onTestFinished(() => {
        run("umount", [small]);
      });
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

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { stdio: "ignore" });
}

function canMount(): boolean {
  const probe = join(tmpdir(), `ckmesh-mount-${process.pid}`);
  try {
    run("mkdir", [probe]);
    run("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe]);
    run("umount", [probe]);
    return true;
  } catch {
    process.stderr.write("skipped: a full disk cannot be made here, mounting a tmpfs needs root\n");
    return false;
  } finally {
    run("rm", ["-rf", probe]);
  }
}
