import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fields } from "@ckmesh/core";
import { emptyControl, encodeControl } from "@ckmesh/image";
import { addAccount } from "@ckmesh/origin";
import { describe, expect, it } from "vitest";
import { type MadePair, makePair } from "../make-pair.js";
import {
  type Answer,
  eventually,
  startTestOrigin,
  type TestOrigin,
  temporaryFolder,
} from "../origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });
const V3 = makePair({ name: "win7", version: 3 });
const WRITE = { "x-ckmesh": "1" };

function basic(user: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:pw-${user}`).toString("base64")}` };
}

/** Read: everybody; change: carol; admin: alice. */
async function start(pairs: readonly MadePair[], folder = temporaryFolder()): Promise<TestOrigin> {
  const accountsFile = join(folder, "accounts.yaml");
  if (!existsSync(accountsFile)) {
    for (const user of ["alice", "bob", "carol"]) {
      await addAccount(accountsFile, user, `pw-${user}`); // oxlint-disable-line no-await-in-loop -- one file
    }
  }
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs,
    flags: {
      "authentication.accountsFile": accountsFile,
      "rights.change": ["carol"],
      "rights.admin": ["alice"],
    },
  });
  const versions = pairs.length;
  await eventually(async () => {
    const body: unknown = JSON.parse((await origin.get("/ckmesh/api/status")).body.toString());
    return new Fields(body, "status").int("versions", 0, 1000) >= versions;
  });
  return origin;
}

function json(answer: Answer): unknown {
  return JSON.parse(answer.body.toString());
}

async function remove(origin: TestOrigin, target: string, user = "alice"): Promise<Answer> {
  return origin.get(`/ckmesh/api/images/${target}`, { ...basic(user), ...WRITE }, "DELETE");
}

function auditLines(origin: TestOrigin, action: string): readonly unknown[] {
  return readFileSync(join(origin.state, "audit.ndjson"), "utf8")
    .split("\n")
    .filter((line) => line.includes(`"action":"${action}"`))
    .map((line): unknown => JSON.parse(line));
}

describe("the list of images", () => {
  it("names versions, the newest, and the next free number", async () => {
    const origin = await start([V1, V2]);
    const answer = await origin.get("/ckmesh/api/images", basic("carol"));
    expect([answer.status, answer.headers["cache-control"]]).toEqual([200, "no-store"]);
    expect(json(answer)).toMatchObject({
      images: [
        { name: "win7", newest: 2, next: 3, versions: [{ version: 1 }, { version: 2, id: V2.idHex }] },
      ],
    });
    expect(json(await origin.get("/ckmesh/api/images/WIN7", basic("carol")))).toMatchObject({ name: "win7" });
  });

  it("says of one version what its head does, but not its secret", async () => {
    const origin = await start([V1]);
    const answer = await origin.get("/ckmesh/api/images/win7/versions/1", basic("alice"));
    expect(json(answer)).toMatchObject({
      image: "win7",
      version: 1,
      id: V1.idHex,
      pack: { bytes: V1.pack.length },
      head: {
        previous: null,
        disk: { bytes: 196_608, format: "raw" },
        frames: 3,
        keptFrames: 0,
        signers: [],
      },
    });
    expect(answer.body.toString()).not.toContain("secret");
  });

  it("is for those who may change something, and what does not exist is 404", async () => {
    const origin = await start([V1]);
    const status = async (target: string, headers = {}): Promise<number> =>
      (await origin.get(`/ckmesh/api/images${target}`, headers)).status;
    expect(await status("")).toBe(401);
    expect(await status("", basic("bob"))).toBe(403);
    expect(await status("/none", basic("alice"))).toBe(404);
    expect(await status("/win7/versions/2", basic("alice"))).toBe(404);
    expect(await status("/win7/versions/x", basic("alice"))).toBe(400);
  });

  it("finds names with characters that a URL encodes", async () => {
    const pair = makePair({ name: "Büro-%41", version: 1 });
    const origin = await start([pair]);
    const name = encodeURIComponent("BÜRO-%41");
    expect((await origin.get(`/ckmesh/api/images/${name}`, basic("alice"))).status).toBe(200);
    expect((await remove(origin, `${name}?force=true`)).status).toBe(200);
  });
});

describe("deleting a version", () => {
  it("takes its files away, tells who did it, and leaves the others", async () => {
    const origin = await start([V1, V2, V3]);
    const answer = await remove(origin, "win7/versions/2", "carol");
    expect(json(answer)).toEqual({
      image: "win7",
      deleted: [{ version: 2, id: V2.idHex }],
      newest: 3,
    });
    expect((await origin.get("/MEDVImages/win7_2.ckm", {}, "HEAD")).status).toBe(404);
    expect((await origin.get("/MEDVImages/win7_1.ckm", {}, "HEAD")).status).toBe(200);
    expect(readdirSync(origin.root).toSorted()).toEqual(
      [V1.packName, V1.indexName, V3.packName, V3.indexName].toSorted(),
    );
    await eventually(() => auditLines(origin, "delete").length === 1);
    expect(auditLines(origin, "delete")).toMatchObject([
      { image: "win7", version: 2, id: V2.idHex, by: "api", user: "carol", address: "127.0.0.1" },
    ]);
    expect(auditLines(origin, "unpublish")).toEqual([]);
  });

  it("that clients follow needs force; then the alias goes back and is told", async () => {
    const origin = await start([V1, V2]);
    const refused = await remove(origin, "win7/versions/2");
    expect([refused.status, json(refused)]).toMatchObject([409, { code: "ERR_VERSION_IN_USE" }]);
    expect((await origin.get("/MEDVImages/win7_2.ckm", {}, "HEAD")).status).toBe(200);
    const told: number[] = [];
    origin.origin.onPublished(({ version }) => told.push(version));
    expect((await remove(origin, "win7/versions/2?force=true")).status).toBe(200);
    expect(told).toEqual([1]);
    await origin.published("win7", 1);
  });

  it("that is withdrawn needs none, and while a rollout is under way the one before it does", async () => {
    const origin = await start([V1, V2, V3]);
    const record = {
      ...emptyControl("win7"),
      serial: 1,
      withdrawn: [{ version: 3 }],
      rollouts: [{ version: 2, since: 1, rings: [{ percent: 10 }], approved: 0, isHeld: false }],
    };
    writeFileSync(join(origin.root, "win7.control.index"), encodeControl(record, []));
    await origin.published("win7", 2);
    expect(json(await origin.get("/ckmesh/api/images/win7", basic("alice")))).toMatchObject({
      newest: 2,
      next: 4,
      versions: [{ withdrawn: false }, { withdrawn: false }, { withdrawn: true }],
      control: { serial: 1, held: [] },
    });
    const statuses = [];
    for (const version of [1, 2, 3]) {
      statuses.push((await remove(origin, `win7/versions/${version}`)).status); // oxlint-disable-line no-await-in-loop
    }
    expect(statuses).toEqual([409, 409, 200]);
  });

  it("lets a transfer under way end well", async () => {
    const large = makePair({ name: "win7", version: 4, frames: 64 });
    const origin = await start([large]);
    const transfer = origin.get(`/MEDVImages/${large.packName}`);
    await eventually(() => statSync(join(origin.root, large.packName)).size > 0);
    const [answer] = await Promise.all([transfer, remove(origin, "win7?force=true")]);
    // It began before, or it is not there any more: never half.
    expect(answer.status === 404 || answer.body.equals(large.pack)).toBe(true);
  });

  it("never frees its number for other bytes, and the same ones may come back", async () => {
    const origin = await start([V1, V2]);
    await remove(origin, "win7/versions/2?force=true");
    expect(json(await origin.get("/ckmesh/api/images/win7", basic("alice")))).toMatchObject({
      newest: 1,
      next: 3,
    });
    origin.drop(makePair({ name: "win7", version: 2, seed: 99 }));
    await eventually(() => origin.log.some((line) => line.includes("ERR_IMAGE_EXISTS")));
    origin.drop(V2);
    await origin.published("win7", 2);
  });

  it("of a whole image needs force, and happens once however many ask", async () => {
    const origin = await start([V1, V2]);
    expect((await remove(origin, "win7")).status).toBe(409);
    const answers = await Promise.all([
      remove(origin, "win7?force=true", "alice"),
      remove(origin, "win7?force=true", "carol"),
    ]);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 404]));
    expect(answers.map(json)).toContainEqual({
      image: "win7",
      deleted: [
        { version: 1, id: V1.idHex },
        { version: 2, id: V2.idHex },
      ],
      newest: null,
    });
    expect(readdirSync(origin.root)).toEqual([]);
    expect((await origin.get("/MEDVImages/win7.ckm.index", {}, "HEAD")).status).toBe(404);
    await eventually(() => auditLines(origin, "delete").length === 2);
  });

  it("takes a foreign pack and our index of it", async () => {
    const origin = await start([]);
    writeFileSync(join(origin.root, "old_1.ckm"), Buffer.alloc(100_000, "foreign"));
    writeFileSync(join(origin.root, "old_1.ckm.index"), "foreign index");
    await origin.published("old", 1);
    expect((await remove(origin, "old?force=true")).status).toBe(200);
    expect(readdirSync(origin.root)).toEqual([]);
    expect(readdirSync(join(origin.state, "opaque"))).toEqual(["secret.key"]);
  });
});

describe("a deletion that a crash cut short", () => {
  it("is completed at the next start, and files that are others by now stay", async () => {
    const first = await start([V1, V2]);
    await first.origin.close();
    const stamp = (file: string, change = 0): object => {
      const path = join(first.root, file);
      const { size, mtimeMs, ino } = statSync(path);
      return { path, size: size + change, mtimeMs, ino };
    };
    const outside = join(first.folder, "accounts.yaml");
    const { size, mtimeMs, ino } = statSync(outside);
    const files = [
      stamp(V1.packName),
      stamp(V1.indexName),
      stamp(V2.packName, 1),
      { path: outside, size, mtimeMs, ino },
    ];
    writeFileSync(join(first.state, "deletions.json"), JSON.stringify({ files }));
    const second = await start([], first.folder);
    await second.published("win7", 2);
    expect(readdirSync(second.root).toSorted()).toEqual([V2.packName, V2.indexName]);
    expect([existsSync(outside), existsSync(join(second.state, "deletions.json"))]).toEqual([true, false]);
  });

  it("does not keep the origin from starting where its journal is damaged", async () => {
    const folder = temporaryFolder();
    const first = await start([V1], folder);
    await first.origin.close();
    writeFileSync(join(first.state, "deletions.json"), "[");
    const second = await start([], folder);
    await second.published("win7", 1);
    expect(second.log.some((line) => line.includes("cannot be completed"))).toBe(true);
  });
});

describe("a request that changes something", () => {
  const target = "/ckmesh/api/images/win7/versions/1";

  it("needs the header, the right, and no page of another site", async () => {
    const origin = await start([V1, V2]);
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await origin.get(target, headers, "DELETE")).status;
    const host = new URL(origin.origin.urls.at(-1) ?? "").host;
    expect(await status(WRITE)).toBe(401);
    expect(await status({ ...basic("bob"), ...WRITE })).toBe(403);
    expect(await status(basic("alice"))).toBe(400);
    expect(await status({ ...basic("alice"), "x-ckmesh": "0" })).toBe(400);
    for (const from of ["https://evil.example", "null", `https://${host}.evil.example`, "file://"]) {
      expect(await status({ ...basic("alice"), ...WRITE, origin: from })).toBe(403); // oxlint-disable-line no-await-in-loop
    }
    expect((await origin.get(V1_URL, {}, "HEAD")).status).toBe(200);
    expect(await status({ ...basic("alice"), ...WRITE, origin: `https://${host}` })).toBe(200);
  });

  it("is refused where there is nothing to change, with what is possible", async () => {
    const origin = await start([V1]);
    const allow = async (path: string, method: string): Promise<readonly unknown[]> => {
      const { status, headers } = await origin.get(path, { ...basic("alice"), ...WRITE }, method);
      return [status, headers.allow];
    };
    expect(await allow("/ckmesh/catalogue", "DELETE")).toEqual([405, "GET, HEAD"]);
    expect(await allow(target, "PUT")).toEqual([405, "GET, HEAD, DELETE"]);
    expect(await allow("/ckmesh/api/images", "DELETE")).toEqual([405, "GET, HEAD"]);
    expect(await allow("/MEDVImages/win7_1.ckm", "DELETE")).toEqual([405, "GET, HEAD"]);
  });
});

const V1_URL = "/MEDVImages/win7_1.ckm";
