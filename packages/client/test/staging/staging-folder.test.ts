import { copyFile, mkdir, mkdtemp, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bitfield, MIB, seededRandom, silentLogger } from "@ckmesh/core";
import { decodeHead, HEAD_BYTES } from "@ckmesh/image";
import { packImage, VersionFiles } from "@ckmesh/store";
import { VirtualClock } from "@ckmesh/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listStaged, readStagedPair } from "../../src/staging/staged-pair.js";
import { StagedSource } from "../../src/staging/staged-source.js";
import { StagingFolder } from "../../src/staging/staging-folder.js";

const PACK = "Win_1.ckm";
const INDEX = "Win_1.ckm.index";

describe("the pre-stage folder", () => {
  let dir: string;
  let folder: string;
  let signed: ReturnType<typeof decodeHead>;
  const clock = new VirtualClock();

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "ckmesh-staging-"));
    const disk = Buffer.alloc(MIB);
    const random = seededRandom(1);
    for (let at = 0; at < disk.length; at += 4) disk.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
    await writeFile(join(dir, "disk"), disk);
    const made = await packImage({ diskPath: join(dir, "disk"), name: "Win", outDir: dir });
    signed = decodeHead((await readFile(made.indexPath)).subarray(0, HEAD_BYTES));
  });
  afterAll(() => rm(dir, { recursive: true }));
  beforeEach(async () => {
    folder = join(dir, "folder");
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
  });

  const staging = (): StagingFolder => new StagingFolder({ folder, clock, logger: silentLogger });
  /** Last written to so many seconds ago. */
  const put = async (file: string, secondsAgo: number, as = file): Promise<void> => {
    await copyFile(join(dir, file), join(folder, as));
    const at = clock.wall() / 1000 - secondsAgo;
    await utimes(join(folder, as), at, at);
  };

  it("has a pair when neither of its files was written to for ten seconds", async () => {
    expect(await staging().pairOf(signed)).toBeUndefined();
    await put(PACK, 9);
    expect(await staging().pairOf(signed), "the index follows").toBe("busy");
    await put(INDEX, 0);
    expect(await staging().pairOf(signed)).toBe("busy");
    expect(await staging().pairs()).toEqual([]);
    clock.advance(10_000);
    expect(await staging().pairOf(signed)).toMatchObject({
      packPath: join(folder, PACK),
      isFramesIndex: false,
    });
    expect(await staging().pairs()).toHaveLength(1);
  });

  it("has no pair where half of it is missing, and minds no clock that is hours ahead", async () => {
    await put(PACK, 60);
    expect(await staging().pairOf(signed)).toBeUndefined();
    await put(INDEX, -7200);
    expect(await staging().pairOf(signed)).toMatchObject({ indexPath: join(folder, INDEX) });
  });

  it("says of renamed and damaged files why they are no use, and wants none of them", async () => {
    await put(PACK, 60, "Win_2.ckm");
    await put(INDEX, 60, "Win_2.ckm.index");
    await put(PACK, 60, "Other_1.ckm");
    await put(PACK, 60, "Other_1.ckm.index");
    await put(INDEX, 60, "Win_3.from_1.ckm.index");
    expect(await listStaged(folder)).toMatchObject([
      { image: "Other", version: 1, problem: { code: "ERR_FORMAT_UNSUPPORTED" } },
      { image: "Win", version: 2, problem: { code: "ERR_INDEX_INVALID" } },
    ]);
    expect(await staging().pairs()).toEqual([]);
  });

  it("has nothing while it is not there", async () => {
    await rm(folder, { recursive: true });
    expect(await staging().pairOf(signed)).toBeUndefined();
    expect(await staging().pairs()).toEqual([]);
  });

  it("may be taken away while frames are copied from it", async () => {
    await put(PACK, 60);
    await put(INDEX, 60);
    const store = join(dir, "store");
    await mkdir(store);
    const pair = await readStagedPair(folder, "Win", 1);
    if (pair === undefined) throw new Error("unreachable: the pair was put there");
    const files = await VersionFiles.open({
      folder: store,
      headBlock: pair.headBlock,
      clock,
      logger: silentLogger,
    });
    try {
      const source = new StagedSource({
        pair,
        files,
        io: undefined,
        clock: new VirtualClock(),
        logger: silentLogger,
      });
      await source.takeIndex();
      expect(files.have.count).toBe(files.table.layout.pieceRows);
      const missing = new Bitfield(files.have.length);
      missing.addRun({ first: files.table.layout.pieceRows, count: files.table.layout.frameRows });
      const plan = await source.plan(missing);
      expect(plan.rows.count).toBe(files.table.layout.frameRows);
      await truncate(join(folder, PACK), 300_000);
      let stored = 0;
      await plan.copy(new AbortController().signal, (runs) => {
        for (const { count } of runs) stored += count;
      });
      expect(stored, "of frames of 64 KiB that do not compress").toBe(4);
      expect(files.have.count).toBe(files.table.layout.pieceRows + stored);
      expect(source.isBusy).toBe(false);
    } finally {
      await files.close();
    }
  });
});
