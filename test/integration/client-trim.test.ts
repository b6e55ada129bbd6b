import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { seededRandom } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { hasTool } from "@ckmesh/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";

const MIB = 1024 * 1024;
const run = promisify(execFile);

/** 120 files of 1 to 200 KB in 12 folders: words that compress a little. */
async function writeTree(root: string): Promise<void> {
  const random = seededRandom(12);
  for (let i = 0; i < 120; i += 1) {
    const folder = join(root, `folder-${i % 12}`);
    await mkdir(folder, { recursive: true });
    const words = Array.from({ length: 150 + Math.floor(random.next() * 27_000) }, () =>
      Math.floor(random.next() * 2 ** 26).toString(36),
    );
    await writeFile(filePath(root, i), words.join(" "));
  }
}

function filePath(root: string, i: number): string {
  return join(root, `folder-${i % 12}`, `file-${i}`);
}

/** Changes 300 bytes of every block of a file. */
async function edit(path: string): Promise<void> {
  const bytes = await readFile(path);
  for (let at = 1000; at < bytes.length; at += 4096)
    bytes.fill(at >>> 12, at, Math.min(at + 300, bytes.length));
  await writeFile(path, bytes);
}

describe.skipIf(!hasTool("mke2fs", ["-V"], "trim from a tree of files"))(
  "client on a host with the files of the image",
  () => {
    let fixture: Fixture;
    let tree: string;
    const www = (file: string): string => join(fixture.dir, "www", file);

    /** Packs a disk with the files of a folder and publishes it. */
    async function publish(version: number, folder: string): Promise<void> {
      const disk = join(fixture.dir, "ext4.img");
      await rm(disk, { force: true });
      await writeFile(disk, "");
      await truncate(disk, 32 * MIB);
      await run("mke2fs", ["-q", "-t", "ext4", "-b", "4096", "-d", folder, disk]);
      await packImage({
        diskPath: disk,
        name: "Win11",
        outDir: join(fixture.dir, "www"),
        version,
        trim: true,
        ...(version > 1 && { previous: www(`Win11_${version - 1}.ckm.index`) }),
      });
    }

    beforeEach(async () => {
      fixture = await Fixture.create();
      tree = join(fixture.dir, "tree");
      await writeTree(tree);
      await publish(1, tree);
      fixture.origin.publish("Win11", 1);
    });
    afterEach(async () => {
      await fixture.close();
    });

    it("takes at least three quarters of the frames from them, and ends with a byte-identical pair", async () => {
      const status = await fixture.once("store", { trim: true, trimFolders: [tree] });
      const version = versionOf(status, 1);
      expect(version.bytes.host / version.needed).toBeGreaterThan(0.75);
      expect(countedBytes(version)).toBe(version.needed);
      expect(status.trim).toMatchObject({ scanning: false, files: 120 });
      expect(await fixture.isIdentical("store", 1)).toBe(true);
    });

    it("updates from its files and by a delta at once, and gets nothing of what one of them brings from the other", async () => {
      await fixture.once("store");
      for (let i = 0; i < 60; i += 1) await edit(filePath(tree, i));
      await publish(2, tree);
      await fixture.makeDelta(1, 2);
      fixture.origin.publish("Win11", 2);
      const host = join(fixture.dir, "host");
      for (let i = 0; i < 60; i += 2) await cp(filePath(tree, i), filePath(host, i));
      fixture.origin.bytesOf.clear();
      const version = versionOf(await fixture.once("store", { trim: true, trimFolders: [host] }), 2);
      expect(await fixture.isIdentical("store", 2)).toBe(true);
      expect(countedBytes(version)).toBe(version.needed);
      expect(version.wasted).toEqual({ rejected: 0, duplicate: 0, retried: 0, origin: 0 });
      expect(version.bytes.host).toBeGreaterThan(0);
      expect(version.bytes.delta).toBeGreaterThan(0);
      // Frames of the delta whose content the host has stay where they are.
      const { size } = await stat(www("Win11_2.from_1.ckm"));
      const spared = (version.bytes.host / (version.bytes.host + version.bytes.delta)) * size;
      expect(fixture.origin.bytesOf.get("Win11_2.from_1.ckm")).toBeLessThan(size - spared / 2);
    });

    it("takes none where trim is off for the image, and waits for no first look longer than is set", async () => {
      const off = await fixture.once("off", { trim: true, trimFolders: [tree], trimOff: ["Win11"] });
      expect(versionOf(off, 1).bytes.host).toBe(0);
      const hasty = await fixture.once("hasty", { trim: true, trimFolders: [tree], trimWaitSeconds: 0 });
      expect(countedBytes(versionOf(hasty, 1))).toBe(versionOf(hasty, 1).needed);
      expect(await fixture.isIdentical("hasty", 1)).toBe(true);
    });
  },
);
