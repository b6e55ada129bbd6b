import { mkdirSync, mkdtempSync, readdirSync, watch, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { verifyDelta } from "@ckmesh/store";
import { expect, it, onTestFinished } from "vitest";
import { VersionChain } from "../../packages/origin/test/deltas/delta-fixture.js";
import type { MadePair } from "../../packages/origin/test/make-pair.js";
import { eventually, temporaryFolder } from "../../packages/origin/test/origin-fixture.js";
import { startKillableOrigin } from "./killable-origin.js";

/** What is made or proven in a process of low priority comes when the other tests leave it time. */
const SLOW_MS = 60_000;
const DELTA = ["Win_2.from_1.ckm", "Win_2.from_1.ckm.index"];

const SETTINGS = `authentication: {anonymous: {enabled: true}}`;

/** What a file of the origin is: its own name, as the origin says it; undefined when it is not there. */
async function nameOf(url: string, file: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(new URL(`/MEDVImages/${file}`, url), { method: "HEAD", agent: false }, (answer) => {
      answer.resume().once("end", () => resolve(answer.headers["content-location"]));
    });
    asked.once("error", reject).end();
  });
}

function drop(images: string, pair: MadePair): void {
  writeFileSync(join(images, pair.packName), pair.pack);
  writeFileSync(join(images, pair.indexName), pair.index);
}

it.each([
  ["made", "deltas", ""],
  ["placed", "images", "Win_2.from_1.ckm"],
])(
  "a delta that is just %s when the origin is killed is there after the restart, and the alias waits for it",
  async (_what, watched, file) => {
    const folder = temporaryFolder();
    const images = join(folder, "images");
    const work = join(folder, "state", "deltas");
    mkdirSync(images);
    const chain = await VersionChain.pack(mkdtempSync(join(folder, "chain-")), 2);
    drop(images, chain.version(1));
    const first = await startKillableOrigin(folder, SETTINGS);
    await eventually(async () => (await nameOf(first.url, "Win.ckm")) === "Win_1.ckm", SLOW_MS);
    const watcher = watch(watched === "deltas" ? work : images, (_event, name) => {
      if (file === "" || name === file) first.child.kill("SIGKILL");
    });
    onTestFinished(() => watcher.close());
    const ended = new Promise((resolve) => first.child.once("close", resolve));
    drop(images, chain.version(2));
    await ended;
    const second = await startKillableOrigin(folder, SETTINGS);
    await eventually(async () => (await nameOf(second.url, "Win.ckm")) === "Win_2.ckm", SLOW_MS);
    expect(await nameOf(second.url, "Win_2.from_1.ckm"), "before the alias moved").toBe("Win_2.from_1.ckm");
    expect(
      readdirSync(images)
        .filter((name) => name.includes("from"))
        .toSorted(),
    ).toEqual(DELTA);
    await expect(verifyDelta(join(images, "Win_2.from_1.ckm.index"))).resolves.toMatchObject({
      isApplied: true,
    });
    await eventually(() => readdirSync(work).length === 0);
  },
);
