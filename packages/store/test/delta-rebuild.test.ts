import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB, type Run, silentLogger } from "@ckmesh/core";
import { HEAD_BYTES } from "@ckmesh/image";
import { VirtualClock } from "@ckmesh/testkit";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import {
  type DeltaFiles,
  DeltaRebuild,
  ImageStore,
  makeDelta,
  type RowFiles,
  type VersionFiles,
} from "../src/index.js";
import { damage, delta, forgeRefs, makeForeign, pack, patched, randomDisk } from "./delta-versions.js";
import { canMountSmallDisk, smallDisk } from "./small-disk.js";
import { testFolder } from "./test-disk.js";

const code = (name: string): unknown => expect.objectContaining({ code: name });

/** The files that a client has open: base complete, of the target all that is not new, of the delta its index. */
interface Opened {
  /** Where the pairs lie as they were made. */
  readonly folder: string;
  readonly store: ImageStore;
  readonly base: VersionFiles;
  readonly target: VersionFiles;
  readonly delta: DeltaFiles;
}

const BASE = "Win_1.ckm";
const TARGET = "Win_2.ckm";
const DELTA = "Win_2.from_1.ckm";

let made: string;
beforeAll(async () => {
  made = await mkdtemp(join(tmpdir(), "ckmesh-delta-"));
  const disk = randomDisk(1024);
  await delta(await pack(disk, patched(disk), made));
}, 60_000);
afterAll(async () => await rm(made, { recursive: true, force: true }));

/** Two versions and the delta between them, in a folder of their own. */
async function copyMade(): Promise<string> {
  const folder = await testFolder();
  await cp(made, folder, { recursive: true });
  return folder;
}

const pairIn = (folder: string, file: string): { readonly packPath: string; readonly indexPath: string } => ({
  packPath: join(folder, file),
  indexPath: join(folder, `${file}.index`),
});

/** Two versions of which another codec made the second, and the delta between them. */
async function copyForeign(): Promise<string> {
  const folder = await copyMade();
  const [base, target] = [pairIn(folder, BASE), pairIn(folder, TARGET)];
  await makeForeign(target);
  for (const path of Object.values(pairIn(folder, DELTA))) await rm(path);
  await makeDelta({ basePath: base.indexPath, targetPath: target.indexPath });
  return folder;
}

async function openStore(dir: string): Promise<ImageStore> {
  const store = await ImageStore.open(dir, { clock: new VirtualClock(), logger: silentLogger });
  onTestFinished(async () => await store.close());
  return store;
}

async function open(folder: string, dir = join(folder, "store")): Promise<Opened> {
  const store = await openStore(dir);
  await mkdir(store.folder("Win"), { recursive: true });
  for (const file of [BASE, `${BASE}.index`])
    await copyFile(join(folder, file), join(store.folder("Win"), file));
  const base = await store.openVersion("Win", await headOf(folder, BASE));
  const target = await store.openVersion("Win", await headOf(folder, TARGET));
  const files = await store.openDelta("Win", await headOf(folder, DELTA));
  onTestFinished(async () => {
    for (const opened of [base, target, files]) await opened.close();
  });
  const { layout, head } = target.table;
  await fill(target, join(folder, `${TARGET}.index`), { first: 0, count: layout.pieceRows });
  await fill(target, join(folder, TARGET), { first: layout.pieceRows, count: head.counts.kept });
  await fill(files, join(folder, `${DELTA}.index`), { first: 0, count: files.table.layout.pieceRows });
  return { folder, store, base, target, delta: files };
}

async function headOf(folder: string, file: string): Promise<Uint8Array> {
  return (await readFile(join(folder, `${file}.index`))).subarray(0, HEAD_BYTES);
}

/** Stores rows of one file, as if they had come from peers. */
async function fill(files: RowFiles, path: string, run: Run): Promise<void> {
  const bytes = await readFile(path);
  for (let row = run.first; row < run.first + run.count; row += 1) {
    const { offset, length } = files.table.locate({ first: row, count: 1 });
    await files.write({ first: row, count: 1 }, bytes.subarray(offset, offset + length), "peers");
  }
}

/** Frames of the delta come. */
async function fillDelta({ folder, delta: files }: Opened, first = 0, count?: number): Promise<Uint32Array> {
  const { pieceRows, frameRows } = files.table.layout;
  const frames = count ?? frameRows - first;
  await fill(files, join(folder, DELTA), { first: pieceRows + first, count: frames });
  return Uint32Array.from({ length: frames }, (_, i) => first + i);
}

async function closeAll({ store, base, target, delta: files }: Opened): Promise<void> {
  for (const opened of [base, target, files]) await opened.close();
  await store.close();
}

async function rebuildOf(opened: Opened): Promise<DeltaRebuild> {
  const rebuild = await DeltaRebuild.open(opened);
  onTestFinished(async () => await rebuild.close());
  return rebuild;
}

describe("DeltaRebuild", () => {
  it("stores what the delta yields as it comes, and the version ends byte-identical", async () => {
    const opened = await open(await copyMade());
    const { folder, target } = opened;
    const rebuild = await rebuildOf(opened);
    const all = Uint32Array.from({ length: rebuild.frames }, (_, k) => k);
    expect(rebuild.frames).toBeGreaterThan(3);
    expect([...all].every((k) => rebuild.canRebuild(k))).toBe(true);
    await expect(rebuild.apply(all), "nothing of it is held").resolves.toMatchObject({
      stored: [],
      badBase: [],
    });
    await fillDelta(opened, 2);
    const later = await rebuild.apply(all.toReversed());
    expect(later.stored[0]?.first).toBe(rebuild.targetRow(2));
    await fillDelta(opened, 0, 2);
    const both = await Promise.all([rebuild.apply(all), rebuild.apply(all)]);
    expect(both.every(({ badDelta, badBase }) => badDelta.length + badBase.length === 0)).toBe(true);
    const { pack: whole, counts } = target.signed.head;
    expect(target.bytes.delta).toBe(whole.length - (target.frames?.offset(counts.kept) ?? 0));
    await target.finish();
    expect((await readFile(target.paths.pack)).equals(await readFile(join(folder, TARGET)))).toBe(true);
  });

  it("tells damaged frames of base and delta from wrong ones, and goes on when they have come again", async () => {
    const opened = await open(await copyMade());
    const { base, target, delta: files, folder } = opened;
    const rebuild = await rebuildOf(opened);
    const ks = await fillDelta(opened);
    await damage(files.paths.packPartial, files.table.locate(rowOf(files, 1)).offset);
    await damage(base.paths.pack, base.table.locate(rowOf(base, 0)).offset);
    const first = await rebuild.apply(ks);
    expect(first.damaged).toEqual({ base: [rowOf(base, 0)], delta: [rowOf(files, 1)] });
    expect(first.badDelta).toEqual([]);
    expect(first.badBase).toContain(0);
    expect(await base.recheck(first.damaged.base)).toEqual([rowOf(base, 0)]);
    expect(await files.recheck(first.damaged.delta)).toEqual([rowOf(files, 1)]);
    expect([base.isComplete, rebuild.canRebuild(0)]).toEqual([false, false]);
    await expect(rebuild.apply(ks)).resolves.toMatchObject({ stored: [], badBase: first.badBase });
    await fill(base, join(folder, BASE), rowOf(base, 0));
    await fill(files, join(folder, DELTA), rowOf(files, 1));
    await rebuild.apply(ks);
    expect(target.have.isFull).toBe(true);
  });

  it("names the frames of a base that was cut, and leaves the others to be rebuilt", async () => {
    const opened = await open(await copyMade());
    const { base } = opened;
    const rebuild = await rebuildOf(opened);
    const ks = await fillDelta(opened);
    const middle = rowOf(base, Math.floor((base.frames?.count ?? 0) / 4));
    await truncate(base.paths.pack, base.table.locate(middle).offset);
    const applied = await rebuild.apply(ks);
    expect(applied.stored.length).toBeGreaterThan(0);
    expect(applied.badBase.length).toBeGreaterThan(0);
    const all = { first: 0, count: base.have.length };
    expect(await base.recheck([all])).toEqual([
      { first: middle.first, count: base.have.length - middle.first },
    ]);
  });

  it("names the frames of a delta that yield something else, and stores nothing of them", async () => {
    const folder = await copyMade();
    await forgeRefs(pairIn(folder, DELTA));
    const opened = await open(folder);
    const rebuild = await rebuildOf(opened);
    const ks = await fillDelta(opened);
    await expect(rebuild.apply(ks)).resolves.toEqual({
      stored: [],
      decoded: [],
      badDelta: [...ks],
      badBase: [],
      damaged: { base: [], delta: [] },
    });
    expect(opened.target.bytes.delta).toBe(0);
  });

  it("keeps decoded what another codec packed, where that is wanted, and finds what a crash left of it", async () => {
    const folder = await copyForeign();
    const opened = await open(folder);
    const rebuild = await DeltaRebuild.open({ ...opened, keepsDecoded: true });
    const ks = await fillDelta(opened);
    const { stored, decoded } = await rebuild.apply(ks);
    await rebuild.close();
    expect([stored, decoded.reduce((sum, run) => sum + run.count, 0)]).toEqual([[], ks.length]);
    const { decoded: path } = opened.target.paths;
    await closeAll(opened);
    await truncate(path, (await stat(path)).size - 1);
    const again = await open(folder);
    expect([...again.target.decodedRows()]).toEqual([...ks.subarray(0, -1)].map((k) => rebuild.targetRow(k)));
  });

  it("rebuilds nothing where another codec made the target", async () => {
    const opened = await open(await copyForeign());
    const rebuild = await rebuildOf(opened);
    const ks = await fillDelta(opened);
    expect([...ks].some((k) => rebuild.canRebuild(k))).toBe(false);
    await expect(rebuild.apply(ks)).resolves.toMatchObject({ stored: [], badDelta: [], badBase: [] });
  });

  it("has nothing to do for a delta without frames, which has no rows at all", async () => {
    const folder = await testFolder();
    await delta(await pack(randomDisk(16), randomDisk(32).subarray(16 * 4096), folder));
    const rebuild = await rebuildOf(await open(folder));
    expect(rebuild.frames).toBe(0);
    await expect(rebuild.apply(Uint32Array.of(0))).resolves.toMatchObject({ stored: [], badDelta: [] });
  });

  it("refuses other versions with ERR_INDEX_INVALID", async () => {
    const opened = await open(await copyMade());
    const turned = DeltaRebuild.open({ ...opened, base: opened.target, target: opened.base });
    await expect(turned).rejects.toThrow(code("ERR_INDEX_INVALID"));
  });
});

/** Applies the delta in a process of its own, which is killed when it has stored some frames. */
const SCRIPT = `
const { DeltaRebuild, ImageStore } = await import(process.argv[1]);
const [dir, ...indexes] = process.argv.slice(2);
const { readFileSync } = await import("node:fs");
const [base, target, delta] = indexes.map((index) => readFileSync(index).subarray(0, 4096));
const log = () => {};
const logger = { debug: log, info: log, warn: log, error: log };
logger.child = () => logger;
const clock = { now: () => performance.now(), wall: Date.now, after: () => log };
const store = await ImageStore.open(dir, { clock, logger });
const rebuild = await DeltaRebuild.open({
  base: await store.openVersion("Win", base),
  target: await store.openVersion("Win", target),
  delta: await store.openDelta("Win", delta),
});
for (let k = 0; k < rebuild.frames; k += 1) {
  const applied = rebuild.apply(Uint32Array.of(k));
  if (k === 3) process.stdout.write("three\\n");
  await applied;
}
`;

describe("an interrupted rebuild", () => {
  it("keeps after kill -9 what was stored, right, and goes on with the rest", async () => {
    const opened = await open(await copyMade());
    const { folder, store } = opened;
    const ks = await fillDelta(opened);
    const row = opened.target.table.layout.pieceRows + opened.target.signed.head.counts.kept;
    await closeAll(opened);
    const built = new URL("../dist/index.js", import.meta.url).href;
    const args = [store.dir, ...[BASE, TARGET, DELTA].map((file) => pairIn(folder, file).indexPath)];
    const child = spawn(process.execPath, ["--input-type=module", "-e", SCRIPT, built, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const again = await open(folder);
    expect(again.target.have.hasAll(row, 3)).toBe(true);
    expect(await again.target.recheck([{ first: 0, count: again.target.have.length }])).toEqual([]);
    await (await rebuildOf(again)).apply(ks);
    await again.target.finish();
    expect(again.target.isComplete).toBe(true);
  });

  it.skipIf(!canMountSmallDisk())("ends with ERR_STORE_FULL, and goes on once there is room", async () => {
    const folder = await copyMade();
    const disk = await smallDisk(join(folder, "small"), "88m");
    const opened = await open(folder, join(disk, "store"));
    const rebuild = await rebuildOf(opened);
    const ks = await fillDelta(opened);
    const filler = join(disk, "filler");
    await expect(writeFile(filler, Buffer.alloc(88 * MIB))).rejects.toThrow("ENOSPC");
    await expect(rebuild.apply(ks)).rejects.toThrow(code("ERR_STORE_FULL"));
    await rm(filler);
    await rebuild.apply(ks);
    await opened.target.finish();
    expect((await readFile(opened.target.paths.pack)).equals(await readFile(join(folder, TARGET)))).toBe(
      true,
    );
  });
});

describe("deltas in the store", () => {
  it("keep their rows over a restart, and are counted apart from the version", async () => {
    const opened = await open(await copyMade());
    const ks = await fillDelta(opened, 0, 3);
    const { bytes } = opened.delta;
    expect(bytes.peers).toBeGreaterThan(0);
    await opened.delta.close();
    const again = await opened.store.openDelta("Win", await headOf(opened.folder, DELTA));
    onTestFinished(async () => await again.close());
    expect(again.bytes).toEqual(bytes);
    expect(again.have.count).toBe(again.table.layout.pieceRows + ks.length);
    expect(again.isIndexComplete).toBe(true);
    await again.close();
    await opened.store.removeDelta("Win", 2, 1);
    expect((await readdir(opened.store.folder("Win"))).filter((file) => file.includes("from"))).toEqual([]);
    expect(opened.target.have.count).toBeGreaterThan(0);
  });

  it("leave room for what is still to come of their target", async () => {
    const folder = await copyMade();
    const store = await openStore(join(folder, "store"));
    await mkdir(store.folder("Win"), { recursive: true });
    const target = join(store.folder("Win"), `${TARGET}.partial`);
    await writeFile(target, "");
    await truncate(target, await store.freeBytes());
    await expect(store.openDelta("Win", await headOf(folder, DELTA))).rejects.toThrow(code("ERR_STORE_FULL"));
    expect(await readdir(store.folder("Win"))).toEqual([`${TARGET}.partial`]);
  });

  it("are removed at start when their target is complete or gone, and with it", async () => {
    const opened = await open(await copyMade());
    const folder = opened.store.folder("Win");
    const deltas = async (): Promise<readonly string[]> =>
      (await readdir(folder)).filter((file) => file.includes("from")).toSorted();
    for (const file of [
      "Win_1.from_4.ckm.partial",
      "Win_9.from_1.ckm.have",
      "Win_9.from_1.ckm.step.index.partial",
    ])
      await writeFile(join(folder, file), "");
    await closeAll(opened);
    const store = await openStore(opened.store.dir);
    const kept = ["ckm.have", "ckm.index.partial", "ckm.partial", "ckm.sources"];
    expect(await deltas()).toEqual(["Win_1.from_4.ckm.partial", ...kept.map((end) => `Win_2.from_1.${end}`)]);
    await store.removeVersion("Win", 2);
    expect(await deltas()).toEqual(["Win_1.from_4.ckm.partial"]);
  });
});

it("a step keeps its rows over a restart, takes no more room than they do, is no version, and goes with its delta", async () => {
  const opened = await open(await copyMade());
  const { store, base, folder } = opened;
  const block = await headOf(folder, BASE);
  const step = await store.openStep("Win", 2, block);
  const { pieceRows } = base.table.layout;
  for (let row = 0; row <= pieceRows; row += 1)
    await step.write({ first: row, count: 1 }, await base.read({ first: row, count: 1 }), "peers");
  const { bytes } = step;
  await step.close();
  await opened.delta.close();

  const again = await store.openStep("Win", 2, block);
  onTestFinished(async () => await again.close());
  expect([again.have.count, again.bytes]).toEqual([pieceRows + 1, bytes]);
  expect(await again.read(rowOf(base, 0))).toEqual(await base.read(rowOf(base, 0)));
  const { blocks } = await stat(again.paths.packPartial);
  expect(blocks * 512).toBeLessThan(base.signed.head.pack.length / 4);
  expect((await store.versions("Win")).map(({ version, isComplete }) => [version, isComplete])).toEqual([
    [2, false],
    [1, true],
  ]);
  await again.close();
  await store.removeDelta("Win", 2, 1);
  expect((await readdir(store.folder("Win"))).filter((file) => file.includes("from"))).toEqual([]);
});

/** The row of a frame. */
function rowOf(files: RowFiles, frame: number): Run {
  return { first: files.table.layout.pieceRows + frame, count: 1 };
}
