import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bitfield, type Run, seededRandom, silentLogger } from "@ckmesh/core";
import { HEAD_BYTES } from "@ckmesh/image";
import { VirtualClock } from "@ckmesh/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostFrameSource, HostIndex, packImage, VersionFiles } from "../../src/index.js";

const BLOCK = 4096;

/** Bytes that only the seed decides. */
function noise(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const random = seededRandom(seed);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
  return bytes;
}

/** As a file system lays a file out: the last block padded with zeros. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

function missing(files: VersionFiles): Bitfield {
  const rows = new Bitfield(files.table.layout.rows);
  for (const run of files.have.runs(false)) rows.addRun(run);
  return rows;
}

describe("host index", () => {
  let dir: string;
  let host: string;
  let index: HostIndex;

  const scan = () => index.scan({ folders: [host], excluded: [join(host, "store")] });
  const reopen = async (): Promise<void> => {
    await index.close();
    index = new HostIndex(join(dir, "index"));
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "ckmesh-host-"));
    host = join(dir, "host");
    await mkdir(join(host, "sub"), { recursive: true });
    index = new HostIndex(join(dir, "index"));
  });
  afterEach(async () => {
    await index.close();
    await rm(dir, { recursive: true, force: true });
  });

  /** Packs a disk of these contents, and opens it with an index and no frames. */
  async function version(contents: readonly Buffer[]): Promise<VersionFiles> {
    await writeFile(join(dir, "disk.img"), Buffer.concat(contents));
    const made = await packImage({ diskPath: join(dir, "disk.img"), name: "Win", outDir: dir, trim: true });
    const file = await readFile(made.indexPath);
    await mkdir(join(dir, "images"));
    const files = await VersionFiles.open({
      folder: join(dir, "images"),
      headBlock: file.subarray(0, HEAD_BYTES),
      clock: new VirtualClock(),
      logger: silentLogger,
    });
    for (let row = 0; row < files.table.layout.pieceRows; row += 1) {
      const { offset, length } = files.table.locate({ first: row, count: 1 });
      await files.write({ first: row, count: 1 }, file.subarray(offset, offset + length), "origin");
    }
    return files;
  }

  async function take(files: VersionFiles): Promise<{ planned: number; stored: number }> {
    const source = new HostFrameSource(files, index);
    const rows = await source.find(missing(files));
    const stored: Run[] = [];
    await source.copy(rows, new AbortController().signal, (runs) => stored.push(...runs));
    return { planned: rows.count, stored: stored.reduce((sum, { count }) => sum + count, 0) };
  }

  it("makes the frames whose sectors lie in files of the host, and no others", async () => {
    const tail = noise(1, 20 * BLOCK + 100);
    const text = Buffer.from(noise(5, 200_000).toString("hex"));
    await writeFile(join(host, "sub", "tail.bin"), tail);
    await writeFile(join(host, "text.txt"), text);
    const onHost = [padded(tail), padded(text)];
    const files = await version([...onHost, noise(9, 40 * BLOCK)]);
    try {
      await scan();
      const { planned, stored } = await take(files);
      const frames = Math.floor(onHost.reduce((sum, { length }) => sum + length, 0) / BLOCK / 16);
      expect(stored).toBe(planned);
      expect(stored).toBeGreaterThanOrEqual(frames - 1);
      expect(stored).toBeLessThanOrEqual(frames);
      expect(files.bytes.host).toBeGreaterThan(0);
      expect(await files.recheck([...files.have.runs()])).toEqual([]);
    } finally {
      await files.close();
    }
  });

  it("stores nothing of a file that changed after it was looked through", async () => {
    await writeFile(join(host, "a"), noise(1, 32 * BLOCK));
    await writeFile(join(host, "b"), noise(2, 32 * BLOCK));
    await writeFile(join(host, "c"), noise(3, 32 * BLOCK));
    const files = await version([noise(1, 32 * BLOCK), noise(2, 32 * BLOCK), noise(3, 32 * BLOCK)]);
    try {
      await scan();
      await writeFile(join(host, "a"), noise(4, 32 * BLOCK));
      await truncate(join(host, "b"), 5);
      expect(await take(files)).toEqual({ planned: 6, stored: 2 });
      expect(await files.recheck([...files.have.runs()])).toEqual([]);
    } finally {
      await files.close();
    }
  });

  it("reads again only files that changed, forgets those that are gone, and remembers over a new start", async () => {
    for (const name of ["same", "grows", "goes"])
      await writeFile(join(host, name), noise(name.length, 3 * BLOCK));
    const first = await scan();
    expect(first).toMatchObject({ files: 3, hashedBytes: 9 * BLOCK, skipped: 0, isComplete: true });
    await reopen();
    expect(await index.state()).toMatchObject({ files: 3, isComplete: true });
    await writeFile(join(host, "grows"), noise(7, 4 * BLOCK));
    await rm(join(host, "goes"));
    expect(await scan()).toMatchObject({ files: 2, hashedBytes: 4 * BLOCK, isComplete: true });
  });

  it("follows no link, and passes over what is excluded, empty or not readable", async () => {
    await mkdir(join(host, "store"));
    await writeFile(join(host, "store", "own"), noise(1, BLOCK));
    await writeFile(join(dir, "outside"), noise(1, BLOCK));
    await symlink(join(dir, "outside"), join(host, "link"));
    await symlink(dir, join(host, "loop"));
    await writeFile(join(host, "empty"), "");
    expect(await scan()).toMatchObject({ files: 0, blocks: 0, isComplete: true });
    expect(await index.scan({ folders: [join(host, "none"), "/proc"], excluded: [] })).toMatchObject({
      files: 0,
      skipped: 2,
    });
  });

  it("ends a scan when it is closed, keeps what was hashed, and goes on from there", async () => {
    for (let i = 0; i < 64; i += 1) await writeFile(join(host, `f${i}`), noise(i, 64 * BLOCK));
    const scanning = scan();
    await reopen();
    const before = await scanning;
    const after = await scan();
    expect(before.isComplete).toBe(false);
    expect(before.hashedBytes + after.hashedBytes).toBe(64 * 64 * BLOCK);
    expect(after).toMatchObject({ files: 64, isComplete: true });
  });

  it("starts anew when its database is damaged", async () => {
    await writeFile(join(host, "a"), noise(1, 3 * BLOCK));
    await scan();
    await index.close();
    await writeFile(join(dir, "index", "files", "CURRENT"), "nonsense");
    index = new HostIndex(join(dir, "index"));
    expect(await index.state()).toEqual({ files: 0, blocks: 0, isComplete: false });
    expect(await scan()).toMatchObject({ files: 1, blocks: 3 });
  });
});
