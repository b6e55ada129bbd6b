import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fields, toHex } from "@ckmesh/core";
import {
  type ControlRecord,
  decodeControl,
  emptyControl,
  encodeControl,
  publicKeyBytes,
  type Rollout,
} from "@ckmesh/image";
import { addAccount, type Published } from "@ckmesh/origin";
import { beforeAll, describe, expect, it } from "vitest";
import { makePair } from "../make-pair.js";
import {
  type Answer,
  eventually,
  startTestOrigin,
  type TestOrigin,
  type TestOriginOptions,
  temporaryFolder,
} from "../origin-fixture.js";

const PAIRS = [1, 2, 3].map((version) => makePair({ name: "win7", version }));
const FILE = "/MEDVImages/win7.control.index";
const OPEN: Rollout = { version: 3, since: 1, rings: [], approved: 0, isHeld: false };

/** Passwords are slow to hash: once for all tests. */
let accounts: Buffer;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-control-"));
  const path = join(folder, "accounts.yaml");
  for (const user of ["bob", "carol"]) await addAccount(path, user, `pw-${user}`); // oxlint-disable-line no-await-in-loop -- one file
  accounts = readFileSync(path);
  rmSync(folder, { recursive: true });
});

function recordOf(serial: number, change: Partial<ControlRecord> = {}): ControlRecord {
  return { ...emptyControl("win7"), serial, createdAt: 1_700_000_000, ...change };
}

function withdrawing(serial: number, ...versions: readonly number[]): ControlRecord {
  return recordOf(serial, { withdrawn: versions.map((version) => ({ version })) });
}

function basic(user: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:pw-${user}`).toString("base64")}` };
}

/** Read: everybody; change: carol. Three versions of win7. */
async function start(options: TestOriginOptions = {}): Promise<TestOrigin> {
  const folder = options.folder ?? temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  if (!existsSync(accountsFile)) writeFileSync(accountsFile, accounts, { mode: 0o600 });
  const origin = await startTestOrigin({
    tls: true,
    pairs: PAIRS,
    ...options,
    folder,
    flags: { "authentication.accountsFile": accountsFile, "rights.change": ["carol"], ...options.flags },
  });
  await eventually(async () => (await statusOf(origin)).int("versions", 0, 100) >= PAIRS.length);
  return origin;
}

async function statusOf(origin: TestOrigin): Promise<Fields> {
  const parsed: unknown = JSON.parse((await origin.get("/ckmesh/api/status")).body.toString());
  return new Fields(parsed, "status");
}

function json(answer: Answer): unknown {
  return JSON.parse(answer.body.toString());
}

function bodyOf(record: ControlRecord, signers: readonly KeyObject[] = []): { readonly record: string } {
  return { record: Buffer.from(encodeControl(record, signers)).toString("base64") };
}

async function put(origin: TestOrigin, body: object, user = "carol", image = "win7"): Promise<Answer> {
  const headers = { ...basic(user), "x-ckmesh": "1", "content-type": "application/json" };
  return origin.get(`/ckmesh/api/images/${image}/control`, headers, "PUT", JSON.stringify(body));
}

async function report(origin: TestOrigin, body: object): Promise<Answer> {
  const headers = { "x-ckmesh": "1", "content-type": "application/json" };
  return origin.get("/ckmesh/api/outcome", headers, "POST", JSON.stringify(body));
}

function outcomeOf(client: number, outcome: string, code?: string): object {
  return { client: client.toString(16).padStart(64, "0"), image: "win7", version: 3, outcome, code };
}

async function aliasOf(origin: TestOrigin): Promise<string | undefined> {
  const { headers, status } = await origin.get("/MEDVImages/win7.ckm.index", {}, "HEAD");
  return status === 200 ? headers["content-location"] : undefined;
}

function auditLines(origin: TestOrigin, action: string): readonly unknown[] {
  const path = join(origin.state, "audit.ndjson");
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  return lines
    .filter((line) => line.includes(`"action":"${action}"`))
    .map((line): unknown => JSON.parse(line));
}

function drop(origin: TestOrigin, bytes: Uint8Array, name = "win7.control.index"): void {
  writeFileSync(join(origin.root, name), bytes);
}

async function refusalOf(origin: TestOrigin): Promise<string> {
  let code = "";
  await eventually(async () => {
    const [first] = (await statusOf(origin)).list("refused", 10);
    code = first === undefined ? "" : new Fields(first, "refusal").string("code", 100);
    return code !== "";
  });
  return code;
}

async function heldHeader(origin: TestOrigin): Promise<unknown> {
  return (await origin.get(FILE, {}, "HEAD")).headers["ckmesh-rollout"];
}

describe("a control record that is put", () => {
  it("lies beside the images and is served like an alias: conditions, ranges, HEAD", async () => {
    const origin = await start();
    expect((await origin.get(FILE)).status).toBe(404);
    const record = withdrawing(5, 3);
    const answer = await put(origin, bodyOf(record));
    expect([answer.status, json(answer)]).toEqual([200, { image: "win7", serial: 5, newest: 2 }]);
    const served = await origin.get(FILE);
    expect(decodeControl(served.body).record).toEqual(record);
    expect(readFileSync(join(origin.root, "win7.control.index"))).toEqual(served.body);
    expect(served.headers["cache-control"]).toBe("private, no-cache");
    const { etag } = served.headers;
    expect((await origin.get(FILE, { "if-none-match": etag })).status).toBe(304);
    const part = await origin.get(FILE, { range: "bytes=4-9" });
    expect([part.status, part.body]).toEqual([206, served.body.subarray(4, 10)]);
    const parts = await origin.get(FILE, { range: "bytes=0-1,4-5" });
    expect([parts.status, parts.body.length]).toEqual([206, Number(parts.headers["content-length"])]);
    const head = await origin.get(FILE, {}, "HEAD");
    expect([head.body.length, head.headers["content-length"]]).toEqual([0, String(served.body.length)]);
    expect((await origin.get(FILE, { range: "bytes=9999-" })).status).toBe(416);
  });

  it("moves the alias at once, tells of it, and stands in catalogue and audit log", async () => {
    const origin = await start();
    const told: Published[] = [];
    origin.origin.onPublished((published) => told.push(published));
    await put(origin, bodyOf(withdrawing(5, 2, 3)));
    expect(await aliasOf(origin)).toBe("win7_1.ckm.index");
    expect((await origin.get("/MEDVImages/win7_3.ckm.index")).status).toBe(200);
    expect(json(await origin.get("/ckmesh/catalogue"))).toMatchObject({
      images: [
        {
          newest: 1,
          versions: [{ withdrawn: false }, { withdrawn: true }, { withdrawn: true }],
          control: { serial: 5, withdrawn: [{ version: 2 }, { version: 3 }], held: [] },
        },
      ],
    });
    await put(origin, bodyOf(withdrawing(6)));
    expect(await aliasOf(origin)).toBe("win7_3.ckm.index");
    expect(told).toEqual([
      { image: "win7", version: 1, isAliasMove: true },
      { image: "win7", version: 3, isAliasMove: true },
    ]);
    await eventually(() => auditLines(origin, "control").length === 2);
    expect(auditLines(origin, "control")[0]).toMatchObject({
      image: "win7",
      serial: 5,
      withdrawn: [2, 3],
      by: "api",
      user: "carol",
    });
  });

  it("leaves no alias when every version is withdrawn", async () => {
    const origin = await start();
    await put(origin, bodyOf(withdrawing(5, 1, 2, 3)));
    expect(await aliasOf(origin)).toBeUndefined();
  });

  it("needs the right to change, the header X-Ckmesh, and JSON", async () => {
    const origin = await start();
    const body = bodyOf(withdrawing(5, 3));
    expect((await put(origin, body, "bob")).status).toBe(403);
    const path = "/ckmesh/api/images/win7/control";
    const plain = { "content-type": "application/json" };
    expect((await origin.get(path, { ...plain, "x-ckmesh": "1" }, "PUT", JSON.stringify(body))).status).toBe(
      401,
    );
    const carol = { ...plain, ...basic("carol") };
    expect((await origin.get(path, carol, "PUT", JSON.stringify(body))).status).toBe(400);
    expect((await put(origin, { record: "?" })).status).toBe(400);
    expect(await aliasOf(origin)).toBe("win7_3.ckm.index");
  });

  it("is refused when it is no newer than the one in force, or not made from it", async () => {
    const origin = await start();
    await put(origin, bodyOf(withdrawing(5, 3)));
    const outdated = { code: "ERR_CONTROL_OUTDATED" };
    for (const body of [
      bodyOf(withdrawing(4)),
      bodyOf(withdrawing(5)),
      { ...bodyOf(withdrawing(6)), replaces: 4 },
      { ...bodyOf(withdrawing(6)), replaces: 0 },
    ]) {
      const answer = await put(origin, body);
      expect([answer.status, json(answer)]).toMatchObject([409, outdated]);
    }
    expect((await put(origin, bodyOf(withdrawing(5, 3)))).status).toBe(200);
    expect((await put(origin, { ...bodyOf(withdrawing(6)), replaces: 5 })).status).toBe(200);
  });

  it("of two that are put at a time only one follows the same record", async () => {
    const origin = await start();
    const both = await Promise.all(
      [6, 7].map(async (serial) => put(origin, { ...bodyOf(withdrawing(serial)), replaces: 0 })),
    );
    expect(new Set(both.map(({ status }) => status))).toEqual(new Set([200, 409]));
  });

  it("is refused when it is of another image, damaged or too long", async () => {
    const origin = await start();
    const invalid = { code: "ERR_CONTROL_INVALID" };
    const answer = await put(origin, bodyOf(withdrawing(5)), "carol", "other");
    expect([answer.status, json(answer)]).toMatchObject([422, invalid]);
    expect(json(await put(origin, { record: "AAAA" }))).toMatchObject(invalid);
    const long = Buffer.alloc(64 * 1024 + 1).toString("base64");
    expect(json(await put(origin, { record: long }))).toMatchObject(invalid);
    expect((await put(origin, bodyOf(withdrawing(5)), "carol", "..%2Fwin7")).status).toBe(400);
  });

  it("may come before its image", async () => {
    const origin = await start();
    const record = { ...withdrawing(5), name: "win11" };
    expect(json(await put(origin, bodyOf(record), "carol", "win11"))).toMatchObject({ newest: null });
    expect((await origin.get("/MEDVImages/win11.control.index")).status).toBe(200);
  });

  it("without publishers counts over TLS only; with them one of them must have signed it", async () => {
    const [mine, strange] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
    const plain = await start({ flags: { "authentication.basic.allowOverHttp": true } });
    const headers = { "x-ckmesh": "1", "content-type": "application/json", ...basic("carol") };
    const path = "/ckmesh/api/images/win7/control";
    const sent = await plain.getPlain(path, headers, "PUT", JSON.stringify(bodyOf(withdrawing(5))));
    const refused = { code: "ERR_SIGNATURE_INVALID" };
    expect([sent.status, json(sent)]).toMatchObject([422, refused]);
    const publishers = [toHex(publicKeyBytes(mine.publicKey))];
    const signedPairs = [1, 2, 3].map((version) =>
      makePair({ name: "win7", version, signer: mine.privateKey }),
    );
    const origin = await start({ pairs: signedPairs, flags: { publishers } });
    expect(json(await put(origin, bodyOf(withdrawing(5))))).toMatchObject(refused);
    expect(json(await put(origin, bodyOf(withdrawing(5), [strange.privateKey])))).toMatchObject(refused);
    expect((await put(origin, bodyOf(withdrawing(5, 3), [mine.privateKey]))).status).toBe(200);
    expect(await aliasOf(origin)).toBe("win7_2.ckm.index");
  });
});

describe("a control record in the folder", () => {
  it("is noticed, obeyed and, when it is taken away, forgotten", async () => {
    const origin = await start();
    drop(origin, encodeControl(withdrawing(5, 3), []));
    await origin.published("win7", 2);
    await eventually(() => auditLines(origin, "control").length === 1);
    expect(auditLines(origin, "control")[0]).toMatchObject({ serial: 5, by: "folder" });
    rmSync(join(origin.root, "win7.control.index"));
    await origin.published("win7", 3);
    expect((await origin.get(FILE)).status).toBe(404);
  });

  it("changes nothing when it cannot be read: the one before stays in force, and the status says why", async () => {
    const origin = await start();
    await put(origin, bodyOf(withdrawing(5, 3)));
    drop(origin, Buffer.from("nonsense"));
    expect(await refusalOf(origin)).toBe("ERR_CONTROL_INVALID");
    expect(decodeControl((await origin.get(FILE)).body).record.serial).toBe(5);
    drop(origin, encodeControl(withdrawing(6, 2, 3), []));
    await origin.published("win7", 1);
    expect((await statusOf(origin)).list("refused", 10)).toEqual([]);
  });

  it("is refused when it is an old one, also after a restart", async () => {
    const first = await start();
    await put(first, bodyOf(withdrawing(5, 3)));
    await first.origin.close();
    writeFileSync(join(first.root, "win7.control.index"), encodeControl(withdrawing(4), []));
    const origin = await start({ folder: first.folder });
    expect(await refusalOf(origin)).toBe("ERR_CONTROL_OUTDATED");
  });

  it("is in force again after a restart, without a second line in the audit log", async () => {
    const first = await start();
    await put(first, bodyOf(withdrawing(5, 3)));
    await first.origin.close();
    const origin = await start({ folder: first.folder });
    expect(await aliasOf(origin)).toBe("win7_2.ckm.index");
    expect(auditLines(origin, "control")).toHaveLength(1);
  });

  it("counts no more when publishers are configured and none of them signed it", async () => {
    const origin = await start();
    await put(origin, bodyOf(withdrawing(5, 3)));
    const { publicKey } = generateKeyPairSync("ed25519");
    await origin.origin.reload({ ...origin.config, publishers: [toHex(publicKeyBytes(publicKey))] });
    expect(await refusalOf(origin)).toBe("ERR_SIGNATURE_INVALID");
    await origin.published("win7", 3);
    expect((await origin.get(FILE)).status).toBe(404);
  });

  it("is no link to a file elsewhere", async () => {
    const origin = await start();
    const elsewhere = join(origin.folder, "elsewhere");
    writeFileSync(elsewhere, encodeControl(withdrawing(5, 3), []));
    symlinkSync(elsewhere, join(origin.root, "win7.control.index"));
    expect(await refusalOf(origin)).toBe("ERR_IMAGE_NAME_INVALID");
    expect((await origin.get(FILE)).status).toBe(404);
  });

  it("of 64 KiB and one byte is refused unread", async () => {
    const origin = await start();
    drop(origin, Buffer.alloc(64 * 1024 + 1, "CKMC"));
    expect(await refusalOf(origin)).toBe("ERR_CONTROL_INVALID");
  });

  it("is put through another origin on the same folder, too", async () => {
    const first = await start();
    const second = await start({
      flags: { "virtualDirectory.physicalPath": first.root },
      pairs: [],
    });
    await put(first, bodyOf(withdrawing(5, 3)));
    // Before the second one has looked at the folder again.
    const answer = await put(second, bodyOf(withdrawing(4)));
    expect([answer.status, json(answer)]).toMatchObject([409, { code: "ERR_CONTROL_OUTDATED" }]);
    await second.published("win7", 2);
  });
});

describe("outcomes that clients report", () => {
  const limited: Rollout = { ...OPEN, failureLimit: { percent: 25, minReports: 4 } };

  it("hold a rollout when more fail than the record lets pass, until the next record", async () => {
    const origin = await start();
    await put(origin, bodyOf(recordOf(5, { rollouts: [limited] })));
    for (const [client, outcome] of [
      [1, "active"],
      [2, "active"],
      [3, "active"],
      [4, "failed"],
    ] as const) {
      expect((await report(origin, outcomeOf(client, outcome))).status).toBe(204);
    }
    expect(await heldHeader(origin)).toBeUndefined();
    await report(origin, outcomeOf(3, "failed", "ROLLED_BACK"));
    expect(await heldHeader(origin)).toBe("held=3");
    const { etag } = (await origin.get(FILE)).headers;
    const unchanged = await origin.get(FILE, { "if-none-match": etag });
    expect([unchanged.status, unchanged.headers["ckmesh-rollout"]]).toEqual([304, "held=3"]);
    await eventually(() => auditLines(origin, "hold").length === 1);
    expect(auditLines(origin, "hold")[0]).toMatchObject({ image: "win7", version: 3, counts: { failed: 2 } });
    const [rollout] = (await statusOf(origin)).list("rollouts", 10);
    expect(rollout).toMatchObject({
      version: 3,
      outcomes: { active: 2, failed: 2, codes: { ROLLED_BACK: 1 } },
    });
    // A record that does not touch this rollout leaves it held.
    await put(origin, bodyOf(recordOf(6, { rollouts: [limited], withdrawn: [{ version: 1 }] })));
    expect(await heldHeader(origin)).toBe("held=3");
    await put(origin, bodyOf(recordOf(7, { rollouts: [{ ...limited, since: 7 }] })));
    expect(await heldHeader(origin)).toBeUndefined();
    expect((await statusOf(origin)).list("rollouts", 10)).toEqual([]);
  });

  it("are counted and held across a restart", async () => {
    const first = await start();
    await put(first, bodyOf(recordOf(5, { rollouts: [limited] })));
    for (const client of [1, 2, 3]) await report(first, outcomeOf(client, "failed")); // oxlint-disable-line no-await-in-loop -- in order
    await first.origin.close();
    const second = await start({ folder: first.folder });
    expect(await heldHeader(second)).toBeUndefined();
    await report(second, outcomeOf(4, "failed"));
    expect(await heldHeader(second)).toBe("held=3");
    await second.origin.close();
    expect(await heldHeader(await start({ folder: first.folder }))).toBe("held=3");
  });

  it("of versions that are not rolled out are not kept", async () => {
    const origin = await start();
    expect((await report(origin, outcomeOf(1, "failed"))).status).toBe(204);
    expect((await statusOf(origin)).list("rollouts", 10)).toEqual([]);
  });

  it("that are none are refused", async () => {
    const origin = await start();
    const bodies = [
      { ...outcomeOf(1, "active"), client: "x" },
      outcomeOf(1, "great"),
      outcomeOf(1, "failed", "it broke"),
      { ...outcomeOf(1, "active"), version: 0 },
    ];
    const answers = await Promise.all(bodies.map(async (body) => report(origin, body)));
    expect(answers.map(({ status }) => status)).toEqual([400, 400, 400, 400]);
  });
});
