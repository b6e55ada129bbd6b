import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hasTool } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { unpackImage } from "../../src/disk/unpack-image.js";
import { packImage } from "../../src/pack/pack-image.js";
import { testDisk, testFolder } from "../test-disk.js";

const hasQemu = hasTool("qemu-img", ["--version"], "packing of VHDX, qcow2 and VMDK");

function qemuImg(folder: string, ...args: readonly string[]): void {
  execFileSync("qemu-img", args, { cwd: folder, stdio: "ignore" });
}

describe.skipIf(!hasQemu)("packing by way of qemu-img", () => {
  const disk = testDisk(300);

  it.each([
    ["qcow2", ["-O", "qcow2"]],
    ["VHDX", ["-O", "vhdx"]],
    ["VMDK in one file", ["-O", "vmdk"]],
    ["VMDK with its data beside it", ["-O", "vmdk", "-o", "subformat=monolithicFlat"]],
  ])("takes %s, gives its disk back raw, and leaves no copy", async (_, target) => {
    const folder = await testFolder();
    await writeFile(join(folder, "raw"), disk);
    qemuImg(folder, "convert", "-f", "raw", ...target, "raw", "disk");
    const out = join(folder, "out");
    await mkdir(out);
    const { indexPath } = await packImage({ diskPath: join(folder, "disk"), name: "Win", outDir: out });
    expect((await readdir(out)).toSorted()).toEqual(["Win_1.ckm", "Win_1.ckm.index"]);
    await unpackImage({ indexPath, outPath: join(out, "again") });
    expect((await readFile(join(out, "again"))).equals(disk)).toBe(true);
  });

  it("refuses disks whose data lies in files elsewhere", async () => {
    const folder = await testFolder();
    await writeFile(join(folder, "raw"), disk);
    qemuImg(folder, "create", "-f", "qcow2", "-b", join(folder, "raw"), "-F", "raw", "layer");
    const monolithic = ["-O", "vmdk", "-o", "subformat=monolithicFlat"];
    qemuImg(folder, "convert", "-f", "raw", ...monolithic, "raw", "parts.vmdk");
    await mkdir(join(folder, "other"));
    await rename(join(folder, "parts-flat.vmdk"), join(folder, "other", "secret"));
    const text = await readFile(join(folder, "parts.vmdk"), "latin1");
    await writeFile(join(folder, "parts.vmdk"), text.replace("parts-flat.vmdk", "other/secret"), "latin1");
    for (const name of ["layer", "parts.vmdk"]) {
      const packing = packImage({ diskPath: join(folder, name), name: "Win", outDir: folder });
      await expect(packing).rejects.toMatchObject({ code: "ERR_FORMAT_UNSUPPORTED" });
    }
  });

  it("is ERR_DISK_INVALID for a damaged file, and ERR_ABORTED when stopped; both leave nothing", async () => {
    const folder = await testFolder();
    await writeFile(join(folder, "disk"), Buffer.concat([Buffer.from("vhdxfile"), disk]));
    const options = { diskPath: join(folder, "disk"), name: "Win", outDir: folder };
    await expect(packImage(options)).rejects.toMatchObject({ code: "ERR_DISK_INVALID" });
    await expect(packImage({ ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "ERR_ABORTED",
    });
    expect(await readdir(folder)).toEqual(["disk"]);
  });
});
