import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";
import { fillUp } from "./fill-up.js";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
const DELTA = "Win11_2.from_1.ckm";
/** The row that was on its way when the transfer broke off: a frame of a delta takes no more. */
const ROW_BYTES = 80 * 1024;

const DISK = { materialize: "raw" } as const;

let fixture: Fixture;
let goOn: () => void = () => {};

/** Version 1 on client "a", version 2 with a delta at the origin, which sends half of that. */
async function update(): Promise<void> {
  await fixture.publish(1, 4);
  await fixture.once("a", DISK);
  await fixture.publish(2, 4, { edited: 30, deltas: [1] });
  fixture.origin.bytesOf.clear();
  const until = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  fixture.origin.pause = { name: DELTA, until };
}

beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => {
  goOn();
  await fixture.close();
});

const sent = (file: string): number => fixture.origin.bytesOf.get(file) ?? 0;
const inStore = (file: string): string => join(fixture.store("a"), "images", "Win11", file);

/** Bytes that a file takes on the disk. */
async function allocated(file: string): Promise<number> {
  return (await stat(inStore(file))).blocks * 512;
}

/** Most of the half of the delta is here, and frames of version 2 have been made of it. */
async function isHalfDone(): Promise<void> {
  await vi.waitFor(
    async () => {
      expect(await allocated(`${DELTA}.partial`)).toBeGreaterThan(sent(DELTA) - ROW_BYTES);
      expect(sent(DELTA)).toBeGreaterThan(ROW_BYTES);
      const { rows } = await madeRows();
      expect(rows).toBeGreaterThan(0);
    },
    { timeout: 60_000, interval: 20 },
  );
}

/** Rows of version 2 by how they came, as the notes beside its pack say: 2 stands for a delta. */
async function madeRows(): Promise<{ readonly rows: number }> {
  const notes = await readFile(inStore("Win11_2.ckm.sources"));
  return { rows: notes.filter((code) => code === 2).length };
}

/**
 * The update goes on where it broke off.
 * @param lostShare of the delta (0 to 1): what was sent and could not be stored
 */
async function expectNothingTwice(lostShare: number): Promise<void> {
  fixture.origin.pause = undefined;
  const version = versionOf(await fixture.once("a", DISK), 2);
  expect(version.state).toBe("active");
  expect(await fixture.isIdentical("a", 2)).toBe(true);
  const disk = await readFile(inStore("Win11_2.img"));
  expect(disk.equals(await readFile(join(fixture.dir, "disk.img")))).toBe(true);
  expect(countedBytes(version)).toBe(version.needed);
  const { size } = await stat(join(fixture.dir, "www", DELTA));
  expect(sent(DELTA)).toBeLessThanOrEqual(size * (1 + lostShare) + ROW_BYTES);
}

describe.skipIf(!existsSync(MAIN))("a client that is killed while a delta comes and is applied", () => {
  it("goes on with what it has of both, and ends with the same pack and disk", async () => {
    await update();
    const args = ["client", "run", "--origin", fixture.origin.url, "--store", fixture.store("a")];
    const child = spawn(
      process.execPath,
      [MAIN, ...args, "--image", "Win11", "--once", "--materialize", "raw"],
      { stdio: "ignore" },
    );
    onTestFinished(() => void child.kill("SIGKILL"));
    await isHalfDone();
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    await expectNothingTwice(0);
    expect(sent("Win11_2.ckm")).toBe(0);
  });
});

it("a disk that is full in the middle of a delta loses nothing of it; the update goes on when there is room", async ({
  skip,
}) => {
  const store = fixture.store("a");
  await mkdir(store);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=120m", "none", store], { stdio: "pipe" });
  } catch {
    skip("needs root and tmpfs to make a small disk");
  }
  try {
    await update();
    const full = fixture.once("a", DISK).then(
      () => "done",
      (err: unknown) => err,
    );
    await isHalfDone();
    fillUp(join(store, "ballast"));
    goOn();
    expect(await full).toMatchObject({ code: "ERR_STORE_FULL" });
    await rm(join(store, "ballast"));
    await expectNothingTwice(0.5); // the half that found no room
    expect(sent("Win11_2.ckm")).toBe(0);
  } finally {
    execFileSync("umount", ["--lazy", store]); // of a test that failed the client still runs
  }
});
