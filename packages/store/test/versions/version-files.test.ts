import { copyFile, open, readFile, rename, stat, truncate, writeFile } from "node:fs/promises";
import { isAppError } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { VersionFiles } from "../../src/index.js";
import { SamplePair } from "../sample-pair.js";

describe("version files", () => {
  let pair: SamplePair;
  let files: VersionFiles;
  beforeEach(async () => {
    pair = await SamplePair.create();
    files = await pair.open();
  });
  afterEach(async () => {
    await files.close();
    await pair.close();
  });

  const reopen = async (): Promise<void> => {
    await files.close();
    files = await pair.open();
  };

  it("ends byte-identical under the final names, and not before", async () => {
    await pair.fill(files);
    await expect(stat(files.paths.pack)).rejects.toThrow("ENOENT");
    await files.finish();
    expect(Buffer.compare(await readFile(files.paths.pack), pair.pack)).toBe(0);
    expect(Buffer.compare(await readFile(files.paths.index), pair.index)).toBe(0);
    await expect(stat(files.paths.packPartial)).rejects.toThrow("ENOENT");
  });

  it("counts each row once by its source, over a restart and after the end", async () => {
    const { rows } = files.table.layout;
    await pair.fill(files, rows - 3);
    const last = { first: rows - 3, count: 3 };
    await files.write(last, pair.bytes(files, last), "origin");
    await files.write(last, pair.bytes(files, last), "peers");
    const needed = files.table.runLength({ first: 0, count: rows });
    const origin = files.table.runLength(last);
    const expected = { previous: 0, delta: 0, host: 0, peers: needed - origin, origin };
    expect(files.bytes).toEqual(expected);
    await reopen();
    expect(files.bytes).toEqual(expected);
    await files.finish();
    await reopen();
    expect(files.isComplete).toBe(true);
    expect(files.bytes).toEqual(expected);
    expect(needed).toBe(pair.pack.length - 64 + pair.index.length - 4096);
  });

  it("does not know rows before the hashes and frames before the frame table", async () => {
    const { layout } = files.table;
    const hashes = layout.section("hashes") ?? { first: 0, count: 1 };
    expect(files.table.check(layout.pieceRows, pair.pack.subarray(64, 100))).toBe("unknown");
    expect(files.table.check(layout.pieceRows - 1, new Uint8Array(10))).toBe("unknown");
    expect(files.table.check(hashes.first, pair.bytes(files, hashes))).toBe("good");
    expect(files.table.check(hashes.first, new Uint8Array(10))).toBe("bad");
    await files.write(hashes, pair.bytes(files, hashes), "peers");
    expect(files.table.check(layout.pieceRows - 1, new Uint8Array(10))).toBe("bad");
  });

  it("keeps after a crash what lies right on the disk, checkpoint or not", async () => {
    await pair.fill(files, 20);
    // A crash: what is open stays as it is, and no checkpoint was written.
    await expect(stat(files.paths.have)).rejects.toThrow("ENOENT");
    const again = await pair.open();
    expect(again.have.count).toBe(20);
    await again.close();
  });

  it("drops after a crash the rows that are torn, and no other", async () => {
    await pair.fill(files, 20);
    const torn = files.table.locate({ first: 15, count: 1 });
    await damage(files.paths.packPartial, torn.offset + 5);
    const again = await pair.open();
    expect(again.have.count).toBe(19);
    expect(again.have.has(15)).toBe(false);
    await again.close();
  });

  it("takes the rows of the checkpoint without hashing them", async () => {
    await pair.fill(files, 20);
    await files.checkpoint();
    await damage(files.paths.packPartial, files.table.locate({ first: 15, count: 1 }).offset);
    await reopen();
    expect(files.have.count).toBe(20);
  });

  it("hashes everything again when the checkpoint is damaged", async () => {
    await pair.fill(files, 20);
    await files.close();
    await damage(files.paths.have, 50);
    files = await pair.open();
    expect(files.have.count).toBe(20);
  });

  it("keeps what lies before the place where the partial file was cut, whatever the checkpoint says", async () => {
    await pair.fill(files);
    await files.close();
    await truncate(files.paths.packPartial, files.table.locate({ first: 15, count: 1 }).offset + 5);
    files = await pair.open();
    expect(files.have.count).toBe(15);
  });

  it("finds damage behind the checkpoint at the end, and wants those rows again", async () => {
    await pair.fill(files);
    await files.close();
    await damage(files.paths.packPartial, files.table.locate({ first: 15, count: 1 }).offset);
    files = await pair.open();
    expect(files.have.isFull).toBe(true);
    const err: unknown = await files.finish().catch((e: unknown) => e);
    expect(isAppError(err, "ERR_FRAME_HASH_MISMATCH")).toBe(true);
    expect([...files.have.runs(false)]).toEqual([{ first: 15, count: 1 }]);
    const run = { first: 15, count: 1 };
    await files.write(run, pair.bytes(files, run), "origin");
    await files.finish();
    expect(Buffer.compare(await readFile(files.paths.pack), pair.pack)).toBe(0);
  });

  it("goes on after a crash between the two renames", async () => {
    await pair.fill(files);
    await files.close();
    await rename(files.paths.packPartial, files.paths.pack);
    files = await pair.open();
    expect(files.isComplete).toBe(false);
    expect(files.have.isFull).toBe(true);
    await files.finish();
    expect(files.isComplete).toBe(true);
  });

  it("makes a complete version partial again when a peer is right about a bad row", async () => {
    await pair.fill(files);
    await files.finish();
    await damage(files.paths.pack, files.table.locate({ first: 15, count: 1 }).offset);
    expect(await files.recheck([{ first: 0, count: 10 }])).toEqual([]);
    expect(files.isComplete).toBe(true);
    expect(await files.recheck([{ first: 10, count: 10 }])).toEqual([{ first: 15, count: 1 }]);
    expect(files.isComplete).toBe(false);
    await expect(stat(files.paths.pack)).rejects.toThrow("ENOENT");
    const run = { first: 15, count: 1 };
    await files.write(run, pair.bytes(files, run), "peers");
    await files.finish();
    expect(Buffer.compare(await readFile(files.paths.pack), pair.pack)).toBe(0);
  });

  it("keeps all frames of a complete version whose index was damaged, and wants only that piece again", async () => {
    await pair.fill(files);
    await files.finish();
    const section = files.table.layout.section("frames") ?? { first: 0, count: 1 };
    const piece = { first: section.first, count: 1 };
    await files.close();
    await damage(files.paths.index, files.table.locate(piece).offset + 20);
    files = await pair.open();
    expect(files.isComplete).toBe(false);
    expect(files.have.has(piece.first)).toBe(false);
    await files.write(piece, pair.bytes(files, piece), "peers");
    expect(files.have.isFull).toBe(true);
    await files.finish();
    expect(Buffer.compare(await readFile(files.paths.index), pair.index)).toBe(0);
  });

  it("writes the checkpoint 5 s after a row, once its data is durable", async () => {
    await pair.fill(files, 3);
    pair.clock.advance(4999);
    await expect(stat(files.paths.have)).rejects.toThrow("ENOENT");
    pair.clock.advance(1);
    await files.checkpoint(); // waits for the one that runs
    expect((await stat(files.paths.have)).size).toBeGreaterThan(44);
  });

  it("takes a pair that somebody put there as local data", async () => {
    await files.close();
    await writeFile(files.paths.pack, pair.pack);
    await copyFile(`${pair.dir}/Win_1.ckm.index`, files.paths.index);
    files = await pair.open();
    expect(files.isComplete).toBe(true);
    expect(files.bytes.previous).toBe(pair.pack.length - 64 + pair.index.length - 4096);
  });

  it("answers how many whole rows a length is, and refuses borders within rows and between files", () => {
    const { table } = files;
    const first = table.length(0);
    expect(table.rowsIn(0, first)).toBe(1);
    expect(table.rowsIn(0, first + table.length(1))).toBe(2);
    expect(table.rowsIn(0, first + 1)).toBeUndefined();
    expect(table.rowsIn(0, 0)).toBeUndefined();
    expect(table.rowsIn(table.layout.pieceRows, 100)).toBeUndefined();
    expect(table.rowsIn(-1, 100)).toBeUndefined();
    expect(table.rowsIn(0, pair.index.length - 4096 + 1)).toBeUndefined();
  });
});

/** Flips bits of one byte. */
async function damage(path: string, offset: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}
