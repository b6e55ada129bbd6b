import { execFile } from "node:child_process";
import { mkdir, truncate, writeFile } from "node:fs/promises";
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
    await writeFile(join(folder, `file-${i}`), words.join(" "));
  }
}

describe.skipIf(!hasTool("mke2fs", ["-V"], "trim from a tree of files"))(
  "client on a host with the files of the image",
  () => {
    let fixture: Fixture;
    let tree: string;

    beforeEach(async () => {
      fixture = await Fixture.create();
      tree = join(fixture.dir, "tree");
      await writeTree(tree);
      const disk = join(fixture.dir, "ext4.img");
      await writeFile(disk, "");
      await truncate(disk, 32 * MIB);
      await run("mke2fs", ["-q", "-t", "ext4", "-b", "4096", "-d", tree, disk]);
      await packImage({ diskPath: disk, name: "Win11", outDir: join(fixture.dir, "www"), trim: true });
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

    it("takes none where trim is off for the image, and waits for no first look longer than is set", async () => {
      const off = await fixture.once("off", { trim: true, trimFolders: [tree], trimOff: ["Win11"] });
      expect(versionOf(off, 1).bytes.host).toBe(0);
      const hasty = await fixture.once("hasty", { trim: true, trimFolders: [tree], trimWaitSeconds: 0 });
      expect(countedBytes(versionOf(hasty, 1))).toBe(versionOf(hasty, 1).needed);
      expect(await fixture.isIdentical("hasty", 1)).toBe(true);
    });
  },
);
