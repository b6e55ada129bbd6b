import { existsSync, mkdirSync, readdirSync, watch, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import { expect, it, onTestFinished } from "vitest";
import { makePair } from "../../packages/origin/test/make-pair.js";
import { eventually, temporaryFolder } from "../../packages/origin/test/origin-fixture.js";
import { startKillableOrigin } from "./killable-origin.js";

const AUTHORIZATION = `Basic ${Buffer.from("alice:right").toString("base64")}`;
const VERSIONS = [1, 2, 3, 4, 5, 6, 7, 8];

const SETTINGS = `authentication: {anonymous: {enabled: true}, basic: {allowOverHttp: true}, accountsFile: ./accounts.yaml}
rights: {change: [alice]}`;

/** Status of an answer; undefined when none came. */
async function ask(url: string, path: string, method: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const headers = { authorization: AUTHORIZATION, "x-ckmesh": "1" };
    const asked = request(new URL(path, url), { method, headers, agent: false }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
      response.once("error", () => resolve(undefined));
    });
    asked.once("error", () => resolve(undefined)).end();
  });
}

it.each([1, 4, 9])(
  "a deletion that is killed when %i of 16 files are gone takes all of them",
  async (files) => {
    const folder = temporaryFolder();
    const images = join(folder, "images");
    mkdirSync(images);
    await addAccount(join(folder, "accounts.yaml"), "alice", "right");
    const pairs = VERSIONS.map((version) => makePair({ name: "A", version, frames: 1 }));
    for (const pair of pairs) {
      writeFileSync(join(images, pair.packName), pair.pack);
      writeFileSync(join(images, pair.indexName), pair.index);
    }
    const first = await startKillableOrigin(folder, SETTINGS);
    await eventually(async () => (await ask(first.url, "/MEDVImages/A_8.ckm", "HEAD")) === 200);
    let gone = 0;
    const watcher = watch(images, () => {
      gone += 1;
      if (gone === files) first.child.kill("SIGKILL");
    });
    onTestFinished(() => watcher.close());
    const ended = new Promise((resolve) => first.child.once("close", resolve));
    await Promise.all([ask(first.url, "/ckmesh/api/images/A?force=true", "DELETE"), ended]);
    const second = await startKillableOrigin(folder, SETTINGS);
    expect(readdirSync(images)).toEqual([]);
    expect(existsSync(join(folder, "state", "deletions.json"))).toBe(false);
    expect(await ask(second.url, "/MEDVImages/A.ckm", "HEAD")).toBe(404);
  },
);
