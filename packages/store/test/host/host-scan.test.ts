import { execFile } from "node:child_process";
import type * as nodeFs from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { sha256 } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BlockRuns } from "../../src/host/block-runs.js";
import { HostFiles } from "../../src/host/host-files.js";
import { HostNotes } from "../../src/host/host-notes.js";
import { HostScan, type HostScanResult } from "../../src/host/host-scan.js";
import { searchHost } from "../../src/host/host-search.js";
import { MountPoints } from "../../src/host/mount-points.js";

/** Reads of the look fail while it does. */
const disk = vi.hoisted(() => ({ fails: false }));
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof nodeFs>();
  const readSync = (...read: Parameters<typeof fs.readSync>): number => {
    if (disk.fails) throw Object.assign(new Error("input/output error"), { code: "EIO" });
    return fs.readSync(...read);
  };
  return { ...fs, readSync };
});

const BLOCK = 4096;
const TIB = 2 ** 40;

/** Blocks that only their name decides. */
function content(name: string, blocks: number): Buffer {
  const hashes = Array.from({ length: (blocks * BLOCK) / 32 }, (_, i) => sha256(Buffer.from(`${name} ${i}`)));
  return Buffer.concat(hashes);
}

describe("a look through folders of the host", () => {
  let dir: string;
  let host: string;
  let files: HostFiles;
  let runs: BlockRuns;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "ckmesh-scan-"));
    host = join(dir, "host");
    await mkdir(host);
    await mkdir(join(dir, "blocks"));
    const opened = await HostFiles.open(join(dir, "files"));
    if (opened === undefined) throw new Error("unreachable: a new database is damaged");
    files = opened;
    runs = BlockRuns.open(join(dir, "blocks"));
  });
  afterEach(async () => {
    await files.close();
    await rm(dir, { recursive: true, force: true });
  });

  const put = async (name: string, blocks: number): Promise<void> => {
    await writeFile(join(host, name), content(name, blocks));
  };
  const look = async (
    options: { maxBlocks?: number; mounts?: string; folders?: readonly string[] } = {},
  ): Promise<HostScanResult> =>
    await new HostScan({
      files,
      runs,
      mounts: MountPoints.parse(options.mounts ?? ""),
      maxBlocks: options.maxBlocks ?? 1000,
      isStopped: () => false,
      admit: () => Promise.resolve(),
      pause: () => Promise.resolve(),
    }).run({ folders: options.folders ?? [host], excluded: [] });
  /** How many of the blocks that lie in `bytes` are found. */
  const found = async (bytes: Buffer): Promise<number> => {
    const blocks = bytes.length / BLOCK;
    const ids = Buffer.concat(
      Array.from({ length: blocks }, (_, i) =>
        sha256(bytes.subarray(i * BLOCK, (i + 1) * BLOCK)).subarray(0, 6),
      ),
    );
    const { fileOf } = await searchHost({ ids, counts: new Uint8Array(blocks).fill(1) }, files, runs);
    return fileOf.filter((file) => file > 0).length;
  };

  it("goes on when its index is full: the first look leaves files out, once, in the order of the folders", async () => {
    const folders = [join(host, "first"), join(host, "second")];
    for (const folder of folders) await mkdir(folder);
    await put("second/a", 8);
    await put("first/a", 8);
    await put("first/b", 7);
    expect(await look({ maxBlocks: 20, folders })).toMatchObject({ files: 2, leftOut: 1, isComplete: true });
    expect(await found(content("second/a", 8))).toBe(0);
    expect(await found(content("first/a", 8))).toBe(8);
    expect(await look({ maxBlocks: 20, folders })).toMatchObject({ hashedBytes: 0, leftOut: 1 });
    await rm(join(host, "first/a"));
    await look({ maxBlocks: 20, folders });
    await put("first/c", 10);
    expect(await look({ maxBlocks: 20, folders }), "the merge makes room for both").toMatchObject({
      files: 2,
      blocks: 17,
      leftOut: 1,
    });
  });

  it("pushes out what was noted first for what is new, keeps to its limit and reads nothing twice", async () => {
    for (let i = 0; i < 6; i += 1) await put(`old-${i}`, 10);
    await look({ maxBlocks: 64 });
    for (let i = 0; i < 4; i += 1) {
      await put(`new-${i}`, 10);
      const { blocks, hashedBytes } = await look({ maxBlocks: 64 });
      expect(blocks).toBeLessThanOrEqual(64);
      expect(hashedBytes).toBe(10 * BLOCK);
      expect(await found(content(`new-${i}`, 10))).toBe(10);
    }
    expect(await look({ maxBlocks: 64 })).toMatchObject({ hashedBytes: 0, files: 6, leftOut: 4 });
    const reopened = BlockRuns.open(join(dir, "blocks"));
    expect(reopened.records).toBe(runs.records);
  });

  it("knows after a new start which files it has left out", async () => {
    await put("a", 10);
    await put("b", 10);
    await look({ maxBlocks: 20 });
    await put("c", 10);
    await look({ maxBlocks: 20 });
    await files.close();
    const opened = await HostFiles.open(join(dir, "files"));
    if (opened === undefined) throw new Error("unreachable: the database is damaged");
    files = opened;
    expect(files.count).toBe(2);
    expect(await look({ maxBlocks: 20 })).toMatchObject({ files: 2, leftOut: 1, hashedBytes: 0 });
    expect(await found(content("c", 10))).toBe(10);
  });

  it("keeps all blocks of a file that ends while earlier ones are brought to the disk and merged", async () => {
    const notes = new HostNotes({ files, runs, maxBlocks: 1000 });
    // Runs that the next one is merged with.
    for (let i = 0; i < 7; i += 1) runs.add(Buffer.alloc(14, i));
    const bytes = content("file", 3);
    const number = notes.begin();
    for (let i = 0; i < 3; i += 1)
      await notes.add(sha256(bytes.subarray(i * BLOCK, (i + 1) * BLOCK)), number, i);
    const flushing = notes.flush();
    await notes.end("/file", { size: 3 * BLOCK, mtimeMs: 1, inode: 1 }, number, 3);
    await flushing;
    await notes.flush();
    expect(runs.records, "those of no file are gone").toBe(3);
    expect(await found(bytes)).toBe(3);
  });

  it("notes no file as known whose blocks could not be written", async () => {
    const notes = new HostNotes({ files, runs, maxBlocks: 1000 });
    const number = notes.begin();
    await notes.add(sha256(content("file", 1)), number, 0);
    await rm(join(dir, "blocks"), { recursive: true });
    await expect(notes.flush()).rejects.toMatchObject({ code: "ENOENT" });
    await mkdir(join(dir, "blocks"));
    await notes.end("/file", { size: BLOCK, mtimeMs: 1, inode: 1 }, number, 1);
    await expect(notes.flush()).rejects.toMatchObject({ code: "ENOENT" });
    expect(await files.find(["/file"])).toEqual([undefined]);
  });

  it("enters nothing that is mounted below a folder, and no folder on a share by whatever link", async () => {
    for (const name of ["disk", "share", "my share", "sub"]) await mkdir(join(host, name));
    for (const name of ["disk/a", "share/b", "my share/c", "sub/d", "e"]) await put(name, 1);
    await symlink(join(host, "share"), join(dir, "link"));
    await symlink(host, join(dir, "way"));
    const mounts = [
      "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw",
      `23 22 8:3 / ${host}/disk rw - xfs /dev/sda3 rw`,
      `24 22 0:50 / ${host}/share rw shared:9 master:2 - nfs4 server:/data rw,vers=4.2`,
      `25 22 0:51 / ${host}/my\\040share rw - fuse.sshfs server: rw`,
      "nonsense",
    ].join("\n");
    const folders = [host, join(dir, "link"), join(dir, "way", "share"), join(host, "my share")];
    expect(await look({ mounts, folders })).toMatchObject({ files: 2, skipped: 3 });
    expect(await look({ mounts, folders: [join(dir, "way"), join(host, "sub")] })).toMatchObject({
      files: 2,
      hashedBytes: 0,
    });
    expect(await look({ mounts, folders: [join(host, "disk")] })).toMatchObject({ files: 1 });
  });

  it("keeps what it knows of a folder that is away, and says so", async () => {
    const [usb, other] = [join(host, "disk"), join(host, "other")];
    for (const folder of [usb, other]) await mkdir(folder);
    for (const name of ["disk/a", "other/b", "other/c"]) await put(name, 1);
    await symlink(usb, join(dir, "way"));
    const folders = [join(dir, "way"), other];
    expect(await look({ folders })).toMatchObject({ files: 3, unread: [] });
    await rename(usb, join(host, "away"));
    await rm(join(other, "c"));
    const way = join(dir, "way");
    const gone = { files: 2, skipped: 1, unread: [{ folder: way, reason: "ENOENT" }], isComplete: true };
    expect(await look({ folders })).toMatchObject(gone);
    await mkdir(usb);
    const empty = { files: 2, unread: [{ folder: usb, reason: "it is empty" }] };
    expect(await look({ folders })).toMatchObject(empty);
    await rm(usb, { recursive: true });
    await rename(join(host, "away"), usb);
    expect(await look({ folders })).toMatchObject({ files: 2, unread: [], hashedBytes: 0 });
    await rm(join(usb, "a"));
    await put("disk/d", 1);
    expect(await look({ folders })).toMatchObject({ files: 2, hashedBytes: BLOCK });
    expect(await found(content("disk/a", 1))).toBe(0);
  });

  it("reads a file again the next time when a read fails", async () => {
    await put("file", 2);
    disk.fails = true;
    expect(await look()).toMatchObject({ files: 0, skipped: 1, hashedBytes: 0 });
    disk.fails = false;
    expect(await look()).toMatchObject({ files: 1, skipped: 0, hashedBytes: 2 * BLOCK });
  });

  it("passes over pipes, holes of a TB, names that are no text and folders without end", async () => {
    await put("file", 2);
    await promisify(execFile)("mkfifo", [join(host, "pipe")]);
    await writeFile(Buffer.concat([Buffer.from(`${host}/`), Buffer.of(0x66, 0xff)]), "text");
    await writeFile(join(host, "hole"), "");
    await truncate(join(host, "hole"), TIB);
    await writeFile(join(host, "disk"), content("disk", 1));
    await truncate(join(host, "disk"), TIB);
    const deep = join(host, ...Array.from({ length: 101 }, () => "d"));
    await mkdir(deep, { recursive: true });
    await writeFile(join(deep, "too-deep"), "text");
    expect(await look()).toEqual({
      files: 1,
      blocks: 2,
      hashedBytes: 2 * BLOCK,
      skipped: 1,
      unread: [],
      leftOut: 2,
      isComplete: true,
    });
  });
});
