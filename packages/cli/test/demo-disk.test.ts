import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildDisk } from "../src/demo/demo-disk.js";
import { buildRawDisk } from "../src/demo/raw-disk.js";

const SECTOR_BYTES = 4096;
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ckmesh-disk-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function someFiles(count: number): readonly { readonly path: string; readonly bytes: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const path = join(folder, `file-${i}`);
    writeFileSync(path, Buffer.alloc(50_000, i + 1));
    return { path, bytes: 50_000 };
  });
}

function changedSectors(before: Buffer, after: Buffer): number {
  let changed = 0;
  for (let at = 0; at < before.length; at += SECTOR_BYTES) {
    if (!before.subarray(at, at + SECTOR_BYTES).equals(after.subarray(at, at + SECTOR_BYTES))) changed += 1;
  }
  return changed;
}

describe("the disk of the demonstration", () => {
  it.each([
    ["with mke2fs, if it is here", buildDisk],
    [
      "without mke2fs",
      async (dir: string, files: ReturnType<typeof someFiles>, bytes: number, signal: AbortSignal) =>
        buildRawDisk(join(dir, "disk.img"), files, bytes - 90 * 50_000, signal),
    ],
  ])("%s holds the files, and its update changes a small part of it in place", async (_, build) => {
    const disk = await build(folder, someFiles(90), 12 * MIB, new AbortController().signal);
    const before = readFileSync(disk.path);
    expect(before.length).toBeGreaterThan(12 * MIB);
    expect(before.length % MIB).toBe(0);
    expect(before.includes(Buffer.alloc(50_000, 17))).toBe(true);
    await disk.update();
    const after = readFileSync(disk.path);
    expect(after.length).toBe(before.length);
    const share = changedSectors(before, after) / (before.length / SECTOR_BYTES);
    expect(share).toBeGreaterThan(0.01);
    expect(share).toBeLessThan(0.2);
  });
});
