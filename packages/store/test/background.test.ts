import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { getPriority } from "node:os";
import { join } from "node:path";
import type { Clock } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { lowerThread } from "../src/background.js";
import { unpackImage } from "../src/disk/unpack-image.js";
import { IoPacer } from "../src/files/io-pacer.js";
import { HostIndex } from "../src/host-index.js";
import { packImage } from "../src/pack/pack-image.js";
import type { WorkOptions } from "../src/progress.js";
import { testDisk, testFolder } from "./test-disk.js";

const MIB = 2 ** 20;

/** Time that passes only where somebody waits: what else takes time cannot pass for a wait. */
function waitedClock(): Clock {
  let now = 0;
  return {
    now: () => now,
    wall: () => now,
    after: (ms, run) => {
      const timer = setImmediate(() => {
        now += ms;
        run();
      });
      return () => clearImmediate(timer);
    },
  };
}

/** Moves the clock until the work has ended; a turn of the event loop for each step. */
async function whileMoving<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve));
    if (isDone) break;
    clock.advance(5);
  }
  return await done;
}

/** A packed disk of two MiB, ready to be rebuilt. */
async function packedDisk(): Promise<(options: WorkOptions) => Promise<unknown>> {
  const folder = await testFolder();
  const diskPath = join(folder, "disk.img");
  await writeFile(diskPath, testDisk(512));
  const { indexPath } = await packImage({ diskPath, name: "Win", outDir: folder, threads: 1 });
  return async (options) =>
    await unpackImage({ indexPath, outPath: join(folder, "again"), threads: 1, ...options });
}

describe("a pacer of reads and writes", () => {
  it("holds all who ask to one rate, in the order in which they came", async () => {
    const clock = new VirtualClock();
    const io = new IoPacer(1000, clock);
    const gone: [string, number][] = [];
    const ask = async (who: string): Promise<void> => {
      await io.admit(500);
      gone.push([who, clock.now()]);
    };
    await whileMoving(clock, Promise.all(["a", "b", "c", "d"].map(ask)));
    expect(gone).toEqual([
      ["a", 0],
      ["b", 500],
      ["c", 1000],
      ["d", 1500],
    ]);
  });

  it("lets go at once who is stopped, and charges nobody for it", async () => {
    const clock = new VirtualClock();
    const io = new IoPacer(1000, clock);
    const stop = new AbortController();
    await io.admit(1000);
    const waiting = io.admit(1e9, stop.signal);
    stop.abort();
    await waiting;
    expect(clock.now()).toBe(0);
    await whileMoving(clock, io.admit(1));
    expect(clock.now()).toBe(1000);
  });
});

describe("rebuilding a disk in the background", () => {
  it("moves no more than the rate, and its progress is what has been done", async () => {
    const rebuild = await packedDisk();
    const clock = new VirtualClock();
    const io = new IoPacer(MIB, clock);
    const done: { readonly at: number; readonly bytes: number }[] = [];
    const onProgress = ({ bytesDone: bytes }: { readonly bytesDone: number }): void => {
      done.push({ at: clock.now(), bytes });
    };
    await whileMoving(clock, rebuild({ background: { io }, onProgress }));
    expect(done.map(({ bytes }) => bytes)).toEqual([MIB, 2 * MIB]);
    // The first page goes at once; the second when that one's MiB, and its frames, have been made up for.
    expect(done[1]?.at).toBeGreaterThan(1000);
  });

  it("stops at once while it waits", async () => {
    const rebuild = await packedDisk();
    const stop = new AbortController();
    const io = new IoPacer(1, new VirtualClock());
    const onProgress = (): void => stop.abort();
    await expect(rebuild({ background: { io }, onProgress, signal: stop.signal })).rejects.toMatchObject({
      code: "ERR_ABORTED",
    });
  });

  // A process that is that low itself shows no difference.
  it.skipIf(process.platform !== "linux" || getPriority() >= 10)(
    "gives its threads a low priority, and no other",
    async () => {
      const rebuild = await packedDisk();
      const before = getPriority();
      let during: readonly number[] = [];
      await rebuild({
        background: {},
        onProgress: () => {
          during = threadNices();
        },
      });
      expect(during).toContain(10);
      expect(threadNice(process.pid)).toBe(before);
    },
  );

  it("goes on where a priority cannot be had, as of a thread that has ended", () => {
    const { pid } = spawnSync(process.execPath, ["--version"]);
    expect(lowerThread(pid, 10)).toBe(false);
  });
});

describe("a look through the host's folders in the background", () => {
  it("reads no more than the rate", async () => {
    const clock = waitedClock();
    const { index, scan } = await hostOf(3 * MIB, new IoPacer(8 * MIB, clock));
    expect(await scan()).toMatchObject({ hashedBytes: 3 * MIB, isComplete: true });
    // The first MiB goes at once, each of the others when the one before it has been made up for.
    expect(clock.now()).toBeGreaterThanOrEqual(250);
    await index.close();
  });

  it("stops at once while it waits", async () => {
    const { index, scan } = await hostOf(3 * MIB, new IoPacer(1, new VirtualClock()));
    const looked = scan();
    await index.close();
    expect(await looked).toMatchObject({ isComplete: false });
  });
});

async function hostOf(bytes: number, io: IoPacer) {
  const folder = await testFolder();
  const host = join(folder, "host");
  await mkdir(host);
  await writeFile(join(host, "file"), Buffer.alloc(bytes, 1));
  const index = new HostIndex(join(folder, "index"), io);
  return { index, scan: async () => await index.scan({ folders: [host], excluded: [] }) };
}

/** Nice values of the threads of this process. */
function threadNices(): readonly number[] {
  return readdirSync("/proc/self/task").map((id) => threadNice(Number(id)));
}

/** proc(5): the 19th field; the second one is a name in brackets. */
function threadNice(id: number): number {
  const text = readFileSync(`/proc/self/task/${id}/stat`, "latin1");
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[16]);
}
