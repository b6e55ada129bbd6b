import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB, type Run, seededRandom, silentLogger } from "@ckmesh/core";
import { HEAD_BYTES } from "@ckmesh/image";
import { VirtualClock } from "@ckmesh/testkit";
import { packImage, VersionFiles } from "../src/index.js";

/** A small packed image, and a folder for a store beside it. */
export class SamplePair {
  readonly dir: string;
  readonly pack: Uint8Array;
  readonly index: Uint8Array;
  readonly clock = new VirtualClock();

  private constructor(dir: string, pack: Uint8Array, index: Uint8Array) {
    this.dir = dir;
    this.pack = pack;
    this.index = index;
  }

  static async create(mib = 2): Promise<SamplePair> {
    const dir = await mkdtemp(join(tmpdir(), "ckmesh-store-"));
    const disk = Buffer.alloc(mib * MIB);
    const random = seededRandom(mib);
    for (let at = 0; at < disk.length; at += 4) disk.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
    await writeFile(join(dir, "disk.img"), disk);
    const made = await packImage({ diskPath: join(dir, "disk.img"), name: "Win", outDir: dir });
    await mkdir(join(dir, "store"));
    return new SamplePair(dir, await readFile(made.packPath), await readFile(made.indexPath));
  }

  get folder(): string {
    return join(this.dir, "store");
  }

  get headBlock(): Uint8Array {
    return this.index.subarray(0, HEAD_BYTES);
  }

  open(): Promise<VersionFiles> {
    const { folder, headBlock, clock } = this;
    return VersionFiles.open({ folder, headBlock, clock, logger: silentLogger });
  }

  /** The right bytes of a run of rows. */
  bytes(files: VersionFiles, run: Run): Uint8Array {
    const { file, offset, length } = files.table.locate(run);
    return (file === "index" ? this.index : this.pack).subarray(offset, offset + length);
  }

  /** Stores the rows [0, count) as if they had come from peers; all without `count`. */
  async fill(files: VersionFiles, count = files.table.layout.rows): Promise<void> {
    for (let row = 0; row < count; row++) {
      const run = { first: row, count: 1 };
      await files.write(run, this.bytes(files, run), "peers");
    }
  }

  async close(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
