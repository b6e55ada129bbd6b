import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, watch, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { verifyDelta } from "@ckmesh/store";
import { expect, it, onTestFinished } from "vitest";
import { VersionChain } from "../../packages/origin/test/deltas/delta-fixture.js";
import type { MadePair } from "../../packages/origin/test/make-pair.js";
import { eventually, temporaryFolder } from "../../packages/origin/test/origin-fixture.js";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
/** What is made or proven in a process of low priority comes when the other tests leave it time. */
const SLOW_MS = 60_000;
const DELTA = ["Win_2.from_1.ckm", "Win_2.from_1.ckm.index"];

interface RunningOrigin {
  readonly child: ChildProcess;
  readonly url: string;
}

async function startOrigin(folder: string): Promise<RunningOrigin> {
  const config = join(folder, "origin.yaml");
  writeFileSync(
    config,
    `virtualDirectory: {physicalPath: ./images}
state: ./state
listen: 127.0.0.1:0
authentication: {anonymous: {enabled: true}}
publish: {scanMs: 20, settleMs: 60}
`,
  );
  const flags = ["origin", "--config", config, "--json", "--log-level", "error"];
  const child = spawn(process.execPath, [MAIN, ...flags]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  const url = await new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      const found = /"urls":\["([^"]+)"/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return { child, url };
}

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
    const first = await startOrigin(folder);
    await eventually(async () => (await nameOf(first.url, "Win.ckm")) === "Win_1.ckm", SLOW_MS);
    const watcher = watch(watched === "deltas" ? work : images, (_event, name) => {
      if (file === "" || name === file) first.child.kill("SIGKILL");
    });
    onTestFinished(() => watcher.close());
    const ended = new Promise((resolve) => first.child.once("close", resolve));
    drop(images, chain.version(2));
    await ended;
    const second = await startOrigin(folder);
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
