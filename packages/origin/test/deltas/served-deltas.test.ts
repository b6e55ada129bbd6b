import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fields, toHex } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";
import { addAccount } from "@ckmesh/origin";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MadePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";
import { VersionChain } from "./delta-fixture.js";

const URL_2_FROM_1 = "/MEDVImages/Win_2.from_1.ckm";
/** What is made or proven in a process of low priority comes when the other tests leave it time. */
const SLOW_MS = 60_000;
const WRITE = { "X-Ckmesh": "1" };

const folder = mkdtempSync(join(tmpdir(), "ckmesh-deltas-"));
let chain: VersionChain;
let v1: MadePair;
let v2: MadePair;
let delta: MadePair;

beforeAll(async () => {
  chain = await VersionChain.pack(folder, 2);
  [v1, v2, delta] = [chain.version(1), chain.version(2), await chain.delta(1, 2)];
}, SLOW_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The deltas that the catalogue lists for version 2. */
async function listed(origin: TestOrigin): Promise<readonly unknown[]> {
  const body: unknown = JSON.parse((await origin.get("/ckmesh/catalogue")).body.toString());
  const [image] = new Fields(body, "catalogue").list("images", 10);
  const versions = new Fields(image, "image").list("versions", 10).map((each) => new Fields(each, "version"));
  return versions.find((each) => each.int("version", 1, 9) === 2)?.list("deltas", 10) ?? [];
}

/** Why the catalogue says that there is no delta. */
async function obstacle(origin: TestOrigin): Promise<string | undefined> {
  const body: unknown = JSON.parse((await origin.get("/ckmesh/catalogue")).body.toString());
  const image = new Fields(new Fields(body, "catalogue").list("images", 10)[0], "image");
  return image.has("deltaObstacle") ? image.string("deltaObstacle", 1000) : undefined;
}

async function status(origin: TestOrigin, path: string): Promise<number> {
  return (await origin.get(path, {}, "HEAD")).status;
}

async function servedWithin(origin: TestOrigin): Promise<void> {
  await eventually(async () => (await status(origin, URL_2_FROM_1)) === 200, SLOW_MS);
}

async function refused(origin: TestOrigin): Promise<readonly unknown[]> {
  const body: unknown = JSON.parse((await origin.get("/ckmesh/api/status")).body.toString());
  return new Fields(body, "status").list("refused", 10);
}

/** The first that is refused, once something is. */
async function refusal(origin: TestOrigin): Promise<Fields> {
  await eventually(async () => (await refused(origin)).length > 0, SLOW_MS);
  return new Fields((await refused(origin))[0], "refusal");
}

function damaged(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

describe("a delta that lies in the folder", { timeout: SLOW_MS }, () => {
  it("is served with tag and ranges, listed in the catalogue, and gone with its files", async () => {
    const origin = await startTestOrigin({ pairs: [v1, v2, delta] });
    await servedWithin(origin);
    const part = await origin.get(URL_2_FROM_1, { range: "bytes=10-99" });
    expect(part.status).toBe(206);
    expect(part.body.equals(delta.pack.subarray(10, 100))).toBe(true);
    const index = await origin.get(`${URL_2_FROM_1}.index`);
    expect(index.body.equals(delta.index)).toBe(true);
    expect(index.headers["cache-control"], "it may be made anew").toBe("private, no-cache");
    const again = await origin.get(`${URL_2_FROM_1}.index`, { "if-none-match": index.headers.etag });
    expect(again.status).toBe(304);
    expect(await listed(origin)).toEqual([
      {
        from: 1,
        id: delta.idHex,
        pack: { file: delta.packName, bytes: delta.pack.length, etag: part.headers.etag },
        index: { file: delta.indexName, bytes: delta.index.length, etag: index.headers.etag },
      },
    ]);
    rmSync(join(origin.root, delta.indexName));
    await eventually(async () => (await status(origin, URL_2_FROM_1)) === 404);
    expect(await listed(origin)).toEqual([]);
    expect(await status(origin, "/MEDVImages/Win_2.ckm")).toBe(200);
  });

  it("is served only between published versions, and gone with one of them", async () => {
    const origin = await startTestOrigin({ pairs: [v2, delta] });
    await origin.published("Win", 2);
    expect(await status(origin, URL_2_FROM_1)).toBe(404);
    origin.drop(v1);
    await servedWithin(origin);
    rmSync(join(origin.root, v1.indexName));
    await eventually(async () => (await status(origin, "/MEDVImages/Win_1.ckm")) === 404);
    expect(await status(origin, URL_2_FROM_1)).toBe(404);
  });

  it("is deleted with a version that is deleted", async () => {
    const accounts = temporaryFolder();
    const accountsFile = join(accounts, "accounts.yaml");
    await addAccount(accountsFile, "alice", "pw-alice");
    const origin = await startTestOrigin({
      tls: true,
      pairs: [v1, v2, delta],
      flags: { "authentication.accountsFile": accountsFile, "rights.admin": ["alice"] },
    });
    await servedWithin(origin);
    const asAlice = { authorization: `Basic ${Buffer.from("alice:pw-alice").toString("base64")}`, ...WRITE };
    const answer = await origin.get("/ckmesh/api/images/Win/versions/1", asAlice, "DELETE");
    expect(answer.status).toBe(200);
    expect(await status(origin, URL_2_FROM_1)).toBe(404);
    expect(readdirSync(origin.root).toSorted()).toEqual([v2.packName, v2.indexName]);
  });

  it("is served at once after a restart, without being applied again", async () => {
    const first = await startTestOrigin({ pairs: [v1, v2, delta] });
    await servedWithin(first);
    await first.origin.close();
    const second = await startTestOrigin({
      folder: first.folder,
      flags: { "publish.settleMs": 600_000, "publish.scanMs": 60_000 },
    });
    await servedWithin(second);
    expect(second.log.filter((line) => line.includes("delta is served"))).toEqual([
      expect.stringContaining('"isNew":false'),
    ]);
  });
});

describe("a delta is refused", { timeout: SLOW_MS }, () => {
  it("that is damaged, cut short, or no delta, until its files are right", async () => {
    const origin = await startTestOrigin({ pairs: [v1, v2] });
    const cases: readonly (readonly [string, Partial<MadePair>])[] = [
      ["ERR_PACK_INVALID", { pack: damaged(delta.pack, 100) }],
      ["ERR_INDEX_INVALID", { index: damaged(delta.index, delta.index.length - 1) }],
      ["ERR_PACK_INVALID", { pack: delta.pack.subarray(0, -1) }],
      ["ERR_FORMAT_UNSUPPORTED", { pack: v2.pack, index: v2.index }],
    ];
    const codes: string[] = [];
    for (const [, change] of cases) {
      origin.drop({ ...delta, ...change });
      codes.push((await refusal(origin)).string("code", 100)); // oxlint-disable-line no-await-in-loop -- the same files
      for (const name of [delta.packName, delta.indexName]) rmSync(join(origin.root, name));
      await eventually(async () => (await refused(origin)).length === 0); // oxlint-disable-line no-await-in-loop
    }
    expect(codes).toEqual(cases.map(([code]) => code));
    origin.drop(delta);
    await servedWithin(origin);
  });

  it("of an equally named version with other content", async () => {
    const others = mkdtempSync(join(folder, "other-"));
    const other = await VersionChain.pack(others, 2, { secret: new Uint8Array(32).fill(2) });
    const origin = await startTestOrigin({ pairs: [v1, v2, await other.delta(1, 2)] });
    expect((await refusal(origin)).string("reason", 1000)).toContain("another version 1 of Win");
  });

  it("that no configured publisher has signed", async () => {
    const key = generateKeyPairSync("ed25519");
    const others = mkdtempSync(join(folder, "signed-"));
    const signed = await VersionChain.pack(others, 2, { signers: [key.privateKey] });
    const origin = await startTestOrigin({
      pairs: [signed.version(1), signed.version(2), await signed.delta(1, 2)],
      flags: { publishers: [toHex(publicKeyBytes(key.publicKey))] },
    });
    expect((await refusal(origin)).string("code", 100)).toBe("ERR_SIGNATURE_INVALID");
    for (const name of [delta.packName, delta.indexName]) rmSync(join(others, name));
    origin.drop(await signed.delta(1, 2, { signers: [key.privateKey] }));
    await servedWithin(origin);
  });
});

describe("an origin that makes deltas", { timeout: SLOW_MS }, () => {
  it("keeps the alias until the first is served, then makes the others; an admin may remove them", async () => {
    const three = await VersionChain.pack(mkdtempSync(join(folder, "three-")), 3);
    const origin = await startTestOrigin({
      pairs: [three.version(1), three.version(2)],
      flags: { "deltas.from": 2 },
    });
    await servedWithin(origin);
    const told: (readonly [number, boolean])[] = [];
    origin.origin.onPublished(({ version, isAliasMove }) => told.push([version, isAliasMove]));
    origin.drop(three.version(3));
    await eventually(async () => (await status(origin, "/MEDVImages/Win_3.ckm")) === 200);
    expect(aliasOf(await origin.get("/MEDVImages/Win.ckm", {}, "HEAD"))).toBe("Win_2.ckm");
    await eventually(
      async () => aliasOf(await origin.get("/MEDVImages/Win.ckm", {}, "HEAD")) === "Win_3.ckm",
      SLOW_MS,
    );
    expect(await status(origin, "/MEDVImages/Win_3.from_2.ckm"), "the alias has moved").toBe(200);
    expect(told, "published, when clients can have it").toEqual([[3, false]]);
    await eventually(async () => (await status(origin, "/MEDVImages/Win_3.from_1.ckm")) === 200, SLOW_MS);
    for (const name of ["Win_3.from_2.ckm", "Win_3.from_2.ckm.index"]) rmSync(join(origin.root, name));
    await eventually(async () => (await status(origin, "/MEDVImages/Win_3.from_2.ckm")) === 404);
    expect(aliasOf(await origin.get("/MEDVImages/Win.ckm", {}, "HEAD"))).toBe("Win_3.ckm");
    expect(readdirSync(join(origin.state, "deltas"))).toEqual([]);
  });
});

describe("an origin of signed versions that has no key", { timeout: SLOW_MS }, () => {
  it("makes no deltas, moves the alias at once, says why, and serves what an admin has signed", async () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const signers = [privateKey];
    const signed = await VersionChain.pack(mkdtempSync(join(folder, "keyless-")), 2, { signers });
    const origin = await startTestOrigin({ pairs: [signed.version(1)], flags: { "deltas.from": 3 } });
    await origin.published("Win", 1);
    origin.drop(signed.version(2));
    await origin.published("Win", 2);
    expect(aliasOf(await origin.get("/MEDVImages/Win.ckm", {}, "HEAD"))).toBe("Win_2.ckm");
    expect(await obstacle(origin)).toContain("set deltas.signKeyFile");
    const warnings = origin.log.filter((line) => line.includes("no deltas are made"));
    expect(warnings).toEqual([expect.stringContaining("deltas.signKeyFile")]);
    origin.drop(await signed.delta(1, 2, { signers }));
    await servedWithin(origin);
    expect(await obstacle(origin)).toBeUndefined();
  });
});

function aliasOf({ headers }: { readonly headers: IncomingHttpHeaders }): unknown {
  return headers["content-location"];
}
