import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "@ckmesh/core";
import { createLogger } from "@ckmesh/runtime";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import { Catalogue, type PublishedVersion } from "../../src/catalogue/catalogue.js";
import { AliasWaits } from "../../src/deltas/alias-waits.js";
import { deltaJobs } from "../../src/deltas/delta-jobs.js";
import { DeltaMaker, type DeltaOrder } from "../../src/deltas/delta-maker.js";
import { DeltaRecords } from "../../src/deltas/delta-records.js";
import { MakingFolder } from "../../src/deltas/making-folder.js";
import { eventually, temporaryFolder } from "../origin-fixture.js";

const WAIT_MS = 600_000;

function names(jobs: ReturnType<typeof deltaJobs>): readonly string[] {
  return jobs.map(({ version, from }) => `${version} from ${from}`);
}

describe("the deltas that are made", () => {
  const made = new Set<string>();
  const image = {
    versions: [1, 2, 3, 5, 6],
    aliasVersion: 3,
    maxBases: 3,
    awaited: [{ version: 5, from: 3 }],
    isSettled: (version: number, from: number) => made.has(`${version} from ${from}`),
  };

  it("are those that an alias waits for, then those to the newest, first from what clients have", () => {
    expect(names(deltaJobs(image))).toEqual(["5 from 3", "6 from 3", "6 from 5", "6 from 2"]);
  });

  it("are made once each, and are none when that is switched off", () => {
    made.add("5 from 3").add("6 from 5");
    expect(names(deltaJobs(image))).toEqual(["6 from 3", "6 from 2"]);
    expect(deltaJobs({ ...image, maxBases: 0 })).toEqual([]);
    expect(deltaJobs({ ...image, versions: [1], awaited: [] })).toEqual([]);
  });
});

/** The parts of an origin that make deltas, with a pretended making. */
async function startMaking(
  options: {
    readonly state?: string;
    readonly make?: Make;
    readonly obstacleOf?: (target: PublishedVersion) => string | undefined;
  } = {},
) {
  const state = options.state ?? temporaryFolder();
  const root = join(state, "images");
  mkdirSync(root, { recursive: true });
  const clock = new VirtualClock();
  const logger = createLogger({ level: "silent" });
  const catalogue = new Catalogue();
  const records = await DeltaRecords.load(state, logger);
  const folder = await MakingFolder.open(state, root);
  const moved: number[] = [];
  const orders: string[] = [];
  const waits = new AliasWaits({
    catalogue,
    records,
    waitMs: WAIT_MS,
    isComing: (target) => options.obstacleOf?.(target) === undefined,
    clock,
    logger,
    onMoved: ({ version }) => moved.push(version),
  });
  await waits.resume();
  const placed = new Set<string>();
  const maker = new DeltaMaker({
    catalogue,
    records,
    waits,
    folder,
    maxBases: 3,
    make: async (order, signal) => {
      orders.push(`${order.targetPath} from ${order.basePath}`);
      return await (options.make ?? makeFiles)(order, signal);
    },
    obstacleOf: (target) => options.obstacleOf?.(target),
    isInFolder: (key) => placed.has(key),
    expect: (key) => placed.add(key),
    inTurn: async (change) => await change(),
    clock,
    logger,
  });
  const close = async (): Promise<void> => {
    await maker.close();
    await waits.close();
  };
  onTestFinished(close);
  const publish = async (version: number, seenAt = clock.wall() + 1): Promise<void> => {
    const published = publishedVersion(version, clock.wall());
    await waits.begin(published, seenAt);
    catalogue.publish(published);
    maker.review();
  };
  const alias = (): number | undefined => catalogue.newest("win")?.version;
  return {
    state,
    root,
    clock,
    catalogue,
    records,
    waits,
    maker,
    close,
    moved,
    orders,
    placed,
    publish,
    alias,
  };
}

type Make = (order: DeltaOrder, signal: AbortSignal) => Promise<{ readonly packPath: string } | undefined>;

/** `win_2.from_1.ckm` and its index, out of the paths that `publishedVersion` gives. */
const makeFiles: Make = async ({ basePath, targetPath, outDir }) => {
  const packPath = join(outDir, `win_${targetPath}.from_${basePath}.ckm`);
  writeFileSync(packPath, "pack");
  writeFileSync(`${packPath}.index`, "index");
  return { packPath };
};

const onFullDisk: Make = async (order, signal) => {
  await makeFiles(order, signal);
  throw new AppError("ERR_STORE_FULL", "no space left");
};

const stuck: Make = async (_order, signal) =>
  await new Promise((_resolve, reject) => {
    const stop = (): void => reject(new AppError("ERR_ABORTED", "stopped"));
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
  });

function publishedVersion(version: number, publishedAt: number): PublishedVersion {
  const file = (fileName: string, path: string) => ({
    path,
    size: 1,
    mtimeMs: 1,
    ino: version,
    fileName,
    etag: `"${version}"`,
    lastModified: 1,
  });
  return {
    name: "win",
    version,
    id: `id${version}`,
    isOpaque: false,
    isSigned: false,
    createdAt: 1,
    publishedAt,
    pack: file(`win_${version}.ckm`, "pack"),
    index: file(`win_${version}.ckm.index`, String(version)),
  };
}

describe("the alias of an image", () => {
  it("stays until the delta from there is settled, then moves once", async () => {
    const { publish, alias, waits, root, moved, catalogue, placed } = await startMaking();
    await publish(1);
    await publish(2);
    expect([alias(), catalogue.awaitsDelta("win", 2)]).toEqual([1, true]);
    await eventually(() => placed.has("win_2.from_1"));
    expect(readdirSync(root).toSorted()).toEqual(["win_2.from_1.ckm", "win_2.from_1.ckm.index"]);
    waits.settle("win", 2, 1, "served");
    waits.settle("win", 2, 1, "served");
    expect([alias(), moved, catalogue.awaitsDelta("win", 2)]).toEqual([2, [2], false]);
  });

  it("moves when the wait is over, and to a version above that waits no longer", async () => {
    const { publish, alias, clock, moved } = await startMaking({ make: stuck });
    await publish(1);
    await publish(2);
    clock.advance(WAIT_MS / 2);
    await publish(3);
    clock.advance(WAIT_MS / 2 - 1);
    expect(alias()).toBe(1);
    clock.advance(1);
    expect(alias()).toBe(2);
    clock.advance(WAIT_MS / 2);
    expect([alias(), moved]).toEqual([3, [2, 3]]);
  });

  it("moves at once when there is nothing to save", async () => {
    const { publish, alias, records } = await startMaking({ make: async () => undefined });
    await publish(1);
    await publish(2);
    await eventually(() => alias() === 2);
    expect(records.ended("win_2.from_1")).toBe("needless");
  });

  it("does not wait for what was published with the first look at the folder", async () => {
    const { publish, alias, clock } = await startMaking({ make: async () => undefined });
    await publish(1, clock.wall());
    await publish(2, clock.wall());
    expect(alias()).toBe(2);
  });

  it("does not wait at a version that is withdrawn or gone meanwhile", async () => {
    const { publish, alias, catalogue } = await startMaking({ make: stuck });
    await publish(1);
    await publish(2);
    expect(catalogue.setWithdrawn("win", new Set([1]))).toBe(true);
    expect(alias()).toBe(2);
    catalogue.setWithdrawn("win", new Set());
    expect(catalogue.remove("win", 1)).toBe(true);
    expect(alias()).toBe(2);
  });

  it("goes on waiting after a restart, for the rest of the time", async () => {
    const first = await startMaking({ make: stuck });
    await first.publish(1);
    await first.publish(2);
    await first.close();
    const second = await startMaking({ state: first.state, make: stuck });
    second.clock.advance(1000);
    for (const version of [1, 2]) second.catalogue.publish(publishedVersion(version, 1));
    expect(second.alias()).toBe(1);
    second.clock.advance(WAIT_MS - 1000);
    expect([second.alias(), second.orders]).toEqual([2, []]);
    const file = join(first.state, "deltas.json");
    await eventually(() => readFileSync(file, "utf8").includes('"waits":[]'));
  });
});

/** Of version 2 only. */
function obstacleOf({ version }: PublishedVersion): string | undefined {
  return version === 2 ? "set a key" : undefined;
}

describe("a delta that nobody would take", () => {
  it("is not made, holds nothing up, and the image says why until there is one", async () => {
    const { publish, alias, orders, maker, catalogue, root } = await startMaking({ obstacleOf });
    await publish(1);
    await publish(2);
    expect([alias(), orders, catalogue.awaitsDelta("win", 2)]).toEqual([2, [], false]);
    const versions = [1, 2].map((version) => publishedVersion(version, 1));
    expect([maker.obstacle(versions), maker.obstacle(versions.slice(1))]).toEqual(["set a key", undefined]);
    const { pack, index } = publishedVersion(2, 1);
    catalogue.publishDelta({ name: "win", version: 2, from: 1, id: "delta", pack, index });
    expect(maker.obstacle(versions)).toBeUndefined();
    await publish(3);
    await eventually(() => readdirSync(root).length > 0);
    expect(orders[0]).toBe("3 from 2");
  });

  it("is waited for no longer when a restart has brought that", async () => {
    const first = await startMaking({ make: stuck });
    await first.publish(1);
    await first.publish(2);
    await first.close();
    const second = await startMaking({ state: first.state, obstacleOf });
    for (const version of [1, 2]) second.catalogue.publish(publishedVersion(version, 1));
    expect(second.alias()).toBe(1);
    second.maker.review();
    expect([second.alias(), second.moved, second.orders]).toEqual([2, [2], []]);
  });
});

describe("a delta that cannot be made", () => {
  it("for want of space leaves nothing, holds nothing up, and is tried again ten minutes later", async () => {
    const { publish, alias, clock, root, state, orders } = await startMaking({ make: onFullDisk });
    await publish(1);
    await publish(2);
    await eventually(() => alias() === 2);
    expect([readdirSync(root), readdirSync(join(state, "deltas"))]).toEqual([[], []]);
    clock.advance(WAIT_MS - 1);
    expect(orders).toHaveLength(1);
    clock.advance(1);
    await eventually(() => orders.length === 2);
  });

  it("as others have put files of its name there leaves those alone", async () => {
    const { publish, root, alias } = await startMaking();
    writeFileSync(join(root, "win_2.from_1.ckm"), "theirs");
    await publish(1);
    await publish(2);
    await eventually(() => alias() === 2);
    expect(readdirSync(root)).toEqual(["win_2.from_1.ckm"]);
  });
});

describe("deltas", () => {
  it("are made one at a time, and give way to one that an alias waits for", async () => {
    let isStuck = true;
    const make: Make = async (order, signal) =>
      isStuck && order.basePath === "1" ? await stuck(order, signal) : await makeFiles(order, signal);
    const { publish, waits, orders, placed, clock } = await startMaking({ make });
    // Nobody has the first two yet: nothing waits.
    await publish(1, clock.wall());
    await publish(2, clock.wall());
    await eventually(() => orders.length === 1);
    await publish(3);
    isStuck = false;
    await eventually(() => placed.has("win_3.from_2"));
    waits.settle("win", 3, 2, "served");
    await eventually(() => placed.has("win_3.from_1"));
    expect(orders).toEqual(["2 from 1", "3 from 2", "3 from 1"]);
  });

  it("are not made again when somebody has removed them", async () => {
    const first = await startMaking();
    await first.publish(1);
    await first.publish(2);
    await eventually(() => first.records.ended("win_2.from_1") === "made");
    await first.close();
    const second = await startMaking({ state: first.state });
    for (const version of [1, 2]) second.catalogue.publish(publishedVersion(version, 1));
    second.maker.review();
    expect([second.orders, second.maker.making]).toEqual([[], undefined]);
  });

  it("that were complete when the origin was killed are placed with the next start, and nothing else is", async () => {
    const state = temporaryFolder();
    const root = join(state, "images");
    for (const [folder, files] of [
      ["a", ["win_2.from_1.ckm", "win_2.from_1.ckm.index"]],
      ["b", ["win_3.from_1.ckm", ".win_3.from_1.ckm.index.0123456789ab.tmp"]],
    ] as const) {
      mkdirSync(join(state, "deltas", folder), { recursive: true });
      for (const file of files) writeFileSync(join(state, "deltas", folder, file), file);
    }
    mkdirSync(root);
    const folder = await MakingFolder.open(state, root);
    const placed = await folder.resume(createLogger({ level: "silent" }));
    expect(placed).toMatchObject([{ name: "win", version: 2, from: 1 }]);
    expect(readdirSync(root).toSorted()).toEqual(["win_2.from_1.ckm", "win_2.from_1.ckm.index"]);
    expect(existsSync(join(state, "deltas", "a")) || existsSync(join(state, "deltas", "b"))).toBe(false);
  });
});
