import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import { createLogger } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { UploadFolder } from "../../src/uploads/upload-folder.js";
import type { UploadEnd, UploadRecord } from "../../src/uploads/upload-record.js";
import { parseUploadTarget } from "../../src/uploads/upload-target.js";
import { makePair } from "../make-pair.js";
import {
  type Answer,
  eventually,
  startTestOrigin,
  type TestOrigin,
  temporaryFolder,
} from "../origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });
const WAITING = "00000000-0000-4000-8000-000000000001";
const REFUSED = "00000000-0000-4000-8000-000000000002";
const PUBLISHED = "00000000-0000-4000-8000-000000000003";

function basic(user: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:pw-${user}`).toString("base64")}` };
}

function record(id: string, name: string, total: number, end?: UploadEnd): UploadRecord {
  const user = { name: "alice", account: "alice" };
  const target = parseUploadTarget(name);
  return { id, user, target, total, closedAt: Date.now(), ...(end === undefined ? {} : { end }) };
}

/** An origin that knows three uploads of alice from before its start: one waits, two have ended. */
async function start(): Promise<TestOrigin> {
  const folder = temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  for (const user of ["alice", "bob", "carol"]) {
    await addAccount(accountsFile, user, `pw-${user}`); // oxlint-disable-line no-await-in-loop -- one file
  }
  const logger = createLogger({ level: "silent", destination: { write: () => {} } });
  const closed = new UploadFolder(join(folder, "state", "uploads", "closed"), logger);
  writeFileSync(join(folder, "data"), V2.index);
  await closed.adopt(record(WAITING, "win7.ckm.index", V2.index.length), join(folder, "data"));
  const at = Date.now();
  await closed.save(
    record(REFUSED, "win7_3.ckm", 5, { state: "refused", code: "ERR_PACK_INVALID", reason: "torn", at }),
  );
  await closed.save(record(PUBLISHED, "win7.ckm", 7, { state: "published", image: "win7", version: 1, at }));
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs: [V1],
    flags: {
      "authentication.accountsFile": accountsFile,
      "rights.change": ["alice", "carol"],
      "rights.admin": ["carol"],
    },
  });
  await origin.published("win7", 1);
  await eventually(async () => (await list(origin))[0]?.["state"] === "waiting");
  return origin;
}

async function list(origin: TestOrigin): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const parsed: unknown = JSON.parse(
    (await origin.get("/ckmesh/api/uploads", basic("carol"))).body.toString(),
  );
  if (typeof parsed !== "object" || parsed === null || !("uploads" in parsed)) return [];
  if (!Array.isArray(parsed.uploads)) return [];
  return parsed.uploads
    .map((upload: unknown) => Object.fromEntries(Object.entries(upload ?? {})))
    .toSorted((a, b) => (String(a["id"]) < String(b["id"]) ? -1 : 1));
}

async function remove(origin: TestOrigin, id: string, user = "carol"): Promise<Answer> {
  return origin.get(`/ckmesh/api/uploads/${id}`, { ...basic(user), "x-ckmesh": "1" }, "DELETE");
}

describe("the list of uploads", () => {
  it("says what became of each, to those who may change something", async () => {
    const origin = await start();
    expect(await list(origin)).toMatchObject([
      {
        id: WAITING,
        user: "alice",
        url: "/MEDVImages/win7.ckm.index",
        state: "waiting",
        reason: "waits for its pack",
        received: V2.index.length,
        total: V2.index.length,
        version: 2,
        endedAt: null,
      },
      { id: REFUSED, state: "refused", code: "ERR_PACK_INVALID", reason: "torn", version: 3 },
      { id: PUBLISHED, state: "published", image: "win7", version: 1, code: null },
    ]);
    expect((await origin.get("/ckmesh/api/uploads", basic("bob"))).status).toBe(403);
    expect((await origin.get("/ckmesh/api/uploads")).status).toBe(401);
  });

  it("loses what is deleted, with its file and a line in the audit log", async () => {
    const origin = await start();
    expect((await remove(origin, WAITING, "bob")).status).toBe(403);
    expect((await remove(origin, WAITING.toUpperCase())).status).toBe(200);
    expect((await remove(origin, REFUSED)).status).toBe(200);
    expect((await remove(origin, REFUSED)).status).toBe(404);
    expect((await list(origin)).map(({ id }) => id)).toEqual([PUBLISHED]);
    const audit = join(origin.state, "audit.ndjson");
    await eventually(() => readFileSync(audit, "utf8").includes("upload-removed"));
    expect(readFileSync(audit, "utf8")).toContain(`"session":"${WAITING}","user":"alice","remover":"carol"`);
  });
});

describe("a closed upload", () => {
  it("stands under its URL for its uploader, and the published file for everybody else", async () => {
    const origin = await start();
    const target = "/MEDVImages/Win7.ckm.index";
    const own = await origin.get(target, basic("alice"));
    expect(own.status).toBe(200);
    expect(own.body.equals(V2.index)).toBe(true);
    expect(own.headers).toMatchObject({
      "cache-control": "private, no-cache",
      "content-length": String(V2.index.length),
    });
    const part = await origin.get(target, { ...basic("alice"), range: "bytes=4096-4099" });
    expect([part.status, part.body.equals(V2.index.subarray(4096, 4100))]).toEqual([206, true]);
    expect((await origin.get(target, basic("carol"))).body.equals(V1.index)).toBe(true);
    expect((await origin.get(target)).body.equals(V1.index)).toBe(true);
  });
});
