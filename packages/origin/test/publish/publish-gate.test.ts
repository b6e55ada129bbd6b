import { generateKeyPairSync } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Fields, toHex } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import type { Published } from "../../src/catalogue/publications.js";
import { type MadePair, makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });

interface StatusBody {
  readonly versions: number;
  readonly refused: readonly { readonly file: string; readonly code: string; readonly reason: string }[];
  readonly waiting: readonly { readonly file: string; readonly reason: string }[];
}

function texts(item: unknown, keys: readonly string[]): readonly string[] {
  const map = new Fields(item, "item");
  return keys.map((key) => map.string(key, 10_000));
}

async function status(origin: TestOrigin): Promise<StatusBody> {
  const parsed: unknown = JSON.parse((await origin.get("/ckmesh/api/status")).body.toString());
  const fields = new Fields(parsed, "status");
  return {
    versions: fields.int("versions", 0, 1e6),
    refused: fields.list("refused", 100).map((item) => {
      const [file = "", code = "", reason = ""] = texts(item, ["file", "code", "reason"]);
      return { file, code, reason };
    }),
    waiting: fields.list("waiting", 100).map((item) => {
      const [file = "", reason = ""] = texts(item, ["file", "reason"]);
      return { file, reason };
    }),
  };
}

/** Waits until something is refused and returns it. */
async function refusal(origin: TestOrigin): Promise<StatusBody["refused"][number] | undefined> {
  await eventually(async () => (await status(origin)).refused.length > 0);
  return (await status(origin)).refused[0];
}

async function statusOf(origin: TestOrigin, name: string): Promise<number> {
  return (await origin.get(`/MEDVImages/${name}`, {}, "HEAD")).status;
}

function damaged(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

describe("a pair in the folder", () => {
  it("is published when it is whole, told to listeners, and in the audit log", async () => {
    const origin = await startTestOrigin();
    const told: string[] = [];
    origin.origin.onPublished(({ image, version }) => told.push(`${image} ${version}`));
    origin.drop(V1);
    await origin.published("win7", 1);
    origin.drop(V2);
    await origin.published("win7", 2);
    expect(told).toEqual(["win7 1", "win7 2"]);
    await eventually(() => auditLines(origin).length === 2);
    expect(auditLines(origin)[0]).toMatchObject({
      action: "publish",
      image: "win7",
      version: 1,
      id: V1.idHex,
    });
  });

  it("is not visible while it grows, however long that takes", async () => {
    const origin = await startTestOrigin();
    writeFileSync(join(origin.root, V1.indexName), V1.index);
    const packPath = join(origin.root, V1.packName);
    const step = Math.ceil(V1.pack.length / 12);
    const seen: number[] = [];
    for (let at = 0; at < V1.pack.length; at += step) {
      appendFileSync(packPath, V1.pack.subarray(at, at + step));
      // Shorter than the settle time of 60 ms: the copy never stands still.
      await new Promise((done) => setTimeout(done, 25)); // oxlint-disable-line no-await-in-loop
      if (at + step < V1.pack.length) seen.push(await statusOf(origin, V1.packName)); // oxlint-disable-line no-await-in-loop
    }
    expect(new Set(seen)).toEqual(new Set([404]));
    await origin.published("win7", 1);
  });

  it("waits for its other half", async () => {
    const origin = await startTestOrigin();
    writeFileSync(join(origin.root, V1.packName), V1.pack);
    await eventually(async () => (await status(origin)).waiting.length === 1);
    expect((await status(origin)).waiting[0]).toEqual({
      file: V1.packName,
      reason: `waits for ${V1.indexName}`,
    });
    writeFileSync(join(origin.root, V1.indexName), V1.index);
    await origin.published("win7", 1);
  });

  it("is published once a stalled copy is completed after a refusal", async () => {
    const origin = await startTestOrigin();
    origin.drop({ ...V1, pack: V1.pack.subarray(0, 100_000) });
    expect(await refusal(origin)).toMatchObject({ code: "ERR_PACK_INVALID" });
    appendFileSync(join(origin.root, V1.packName), V1.pack.subarray(100_000));
    await origin.published("win7", 1);
    expect((await status(origin)).refused).toEqual([]);
  });

  it("goes from the catalogue with its files, and the alias goes back", async () => {
    const origin = await startTestOrigin({ pairs: [V1, V2] });
    await origin.published("win7", 2);
    const told: Published[] = [];
    origin.origin.onPublished((published) => told.push(published));
    rmSync(join(origin.root, V2.indexName));
    await origin.published("win7", 1);
    expect([await statusOf(origin, V2.packName), await statusOf(origin, V1.packName)]).toEqual([404, 200]);
    expect(told).toEqual([{ image: "win7", version: 1, isAliasMove: true }]);
    writeFileSync(join(origin.root, V2.indexName), V2.index);
    await origin.published("win7", 2);
    expect(told.at(-1)).toEqual({ image: "win7", version: 2, isAliasMove: false });
  });

  it("is out of sight from the moment its bytes change", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    writeFileSync(join(origin.root, V1.packName), damaged(V1.pack, 100_000));
    expect(await refusal(origin)).toMatchObject({ code: "ERR_PACK_INVALID" });
    expect(await statusOf(origin, V1.packName)).toBe(404);
    expect(await statusOf(origin, "win7.ckm")).toBe(404);
  });

  it("is published again when only its date changed", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    utimesSync(join(origin.root, V1.packName), 1000, 1000);
    await eventually(
      () => origin.log.filter((line) => line.includes("image version published")).length === 2,
    );
    await origin.published("win7", 1);
    expect(auditLines(origin).filter((line) => JSON.stringify(line).includes('"publish"'))).toHaveLength(1);
  });

  it("never replaces a version that was published with other bytes, not even after a restart", async () => {
    const first = await startTestOrigin({ pairs: [V1] });
    await first.published("win7", 1);
    for (const name of [V1.packName, V1.indexName]) rmSync(join(first.root, name));
    await eventually(async () => (await status(first)).versions === 0);
    await first.origin.close();
    const other = makePair({ name: "win7", version: 1, seed: 99 });
    const second = await startTestOrigin({ folder: first.folder, pairs: [other] });
    expect(await refusal(second)).toMatchObject({
      code: "ERR_IMAGE_EXISTS",
      reason: expect.stringContaining("next number"),
    });
    expect(await statusOf(second, V1.packName)).toBe(404);
  });
});

function auditLines(origin: TestOrigin): readonly unknown[] {
  try {
    return readFileSync(join(origin.state, "audit.ndjson"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line): unknown => JSON.parse(line));
  } catch {
    return []; // Not written yet.
  }
}

describe("the gate refuses", () => {
  const cases: readonly (readonly [string, string, MadePair])[] = [
    ["a flipped bit in a frame", "ERR_PACK_INVALID", { ...V1, pack: damaged(V1.pack, 70_000) }],
    ["a flipped bit in the pack's header", "ERR_PACK_INVALID", { ...V1, pack: damaged(V1.pack, 20) }],
    ["a truncated pack", "ERR_PACK_INVALID", { ...V1, pack: V1.pack.subarray(0, -1) }],
    ["bytes behind the pack", "ERR_PACK_INVALID", { ...V1, pack: Buffer.concat([V1.pack, Buffer.alloc(1)]) }],
    ["the pack of another version", "ERR_PACK_INVALID", { ...V1, pack: V2.pack }],
    [
      "a flipped bit in a section",
      "ERR_INDEX_INVALID",
      { ...V1, index: damaged(V1.index, V1.index.length - 1) },
    ],
    ["a truncated index", "ERR_INDEX_INVALID", { ...V1, index: V1.index.subarray(0, -1) }],
    [
      "bytes behind the index",
      "ERR_INDEX_INVALID",
      { ...V1, index: Buffer.concat([V1.index, Buffer.alloc(1)]) },
    ],
    ["half a head", "ERR_INDEX_INVALID", { ...V1, index: V1.index.subarray(0, 1000) }],
    ["an empty index", "ERR_INDEX_INVALID", { ...V1, index: Buffer.alloc(0) }],
    ["noise for an index", "ERR_FORMAT_UNSUPPORTED", { ...V1, index: V1.pack.subarray(64, 64 + 8192) }],
    ["a renamed pair", "ERR_INDEX_INVALID", { ...V1, packName: "mac_1.ckm", indexName: "mac_1.ckm.index" }],
    [
      "a renumbered pair",
      "ERR_INDEX_INVALID",
      { ...V1, packName: "win7_3.ckm", indexName: "win7_3.ckm.index" },
    ],
    [
      "a pair without a version number",
      "ERR_IMAGE_NAME_INVALID",
      { ...V1, packName: "win7.ckm", indexName: "win7.ckm.index" },
    ],
  ];

  it.each(cases)("%s with %s", async (_what, code, pair) => {
    const origin = await startTestOrigin({ pairs: [pair] });
    expect(await refusal(origin)).toMatchObject({ code });
    expect((await status(origin)).versions).toBe(0);
    expect(origin.log.some((line) => line.includes('"warn"'))).toBe(true);
  });

  it("what no configured publisher has signed", async () => {
    const [right, wrong] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
    const publishers = [toHex(publicKeyBytes(right.publicKey))];
    const origin = await startTestOrigin({
      flags: { publishers },
      pairs: [
        makePair({ name: "good", version: 1, signer: right.privateKey }),
        makePair({ name: "unsigned", version: 1 }),
        makePair({ name: "foreign", version: 1, signer: wrong.privateKey }),
      ],
    });
    await origin.published("good", 1);
    await eventually(async () => (await status(origin)).refused.length === 2);
    expect((await status(origin)).refused.map(({ code }) => code)).toEqual([
      "ERR_SIGNATURE_INVALID",
      "ERR_SIGNATURE_INVALID",
    ]);
  });

  it("an image that differs from another only in case", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    origin.drop(makePair({ name: "WIN7", version: 2 }));
    expect(await refusal(origin)).toMatchObject({
      code: "ERR_IMAGE_EXISTS",
      reason: expect.stringContaining("case"),
    });
  });
});

describe.skipIf(process.getuid?.() === 0)("a pair that may not be read", () => {
  it("is refused without a word of where the folder lies", async () => {
    const origin = await startTestOrigin();
    origin.drop(V1);
    chmodSync(join(origin.root, V1.packName), 0);
    expect((await refusal(origin))?.reason).not.toContain(origin.root);
  });
});

describe("a restart", () => {
  it("publishes unchanged files at once, without hashing them", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "images", V1.packName);
    mkdirSync(join(folder, "images"));
    writeFileSync(path, V1.pack);
    writeFileSync(join(folder, "images", V1.indexName), V1.index);
    utimesSync(path, 1000, 1000);
    const first = await startTestOrigin({ folder });
    await first.published("win7", 1);
    await first.origin.close();
    // A flipped bit that a hash would find, under the size, date and inode of before.
    writeFileSync(path, damaged(V1.pack, 70_000), { flag: "r+" });
    utimesSync(path, 1000, 1000);
    const second = await startTestOrigin({ folder, flags: { "publish.settleMs": 600_000 } });
    expect((await status(second)).versions).toBe(1);
    expect(second.log.some((line) => line.includes('"isNew":true'))).toBe(false);
  });

  it("hashes anew when the cache is damaged", async () => {
    const first = await startTestOrigin({ pairs: [V1] });
    await first.published("win7", 1);
    await first.origin.close();
    writeFileSync(join(first.state, "catalogue.json"), '{"versions":[{"key":"win7_1","id":7}]}');
    const second = await startTestOrigin({ folder: first.folder });
    await second.published("win7", 1);
    expect(second.log.some((line) => line.includes("hashing anew"))).toBe(true);
  });
});

describe("a transfer", () => {
  it("ends with its connection when the file becomes shorter, and the next one is 404", async () => {
    const large = makePair({ name: "large", version: 1, frames: 128 });
    const origin = await startTestOrigin({
      pairs: [large],
      flags: { "publish.scanMs": 60_000, "publish.settleMs": 0 },
    });
    await eventually(async () => (await statusOf(origin, large.packName)) === 200);
    const first = await origin.get(`/MEDVImages/${large.packName}`, { range: "bytes=0-0" });
    expect(first.status).toBe(206);
    truncateSync(join(origin.root, large.packName), 100_000);
    await expect(origin.get(`/MEDVImages/${large.packName}`)).rejects.toThrow(/aborted|hang up|reset/);
    await eventually(async () => (await statusOf(origin, large.packName)) === 404);
  });

  it("of a file that is replaced or gone is 404, never 500", async () => {
    const origin = await startTestOrigin({
      pairs: [V1],
      flags: { "publish.scanMs": 60_000, "publish.settleMs": 0 },
    });
    await eventually(async () => (await statusOf(origin, V1.packName)) === 200);
    renameSync(join(origin.root, V1.indexName), join(origin.root, "elsewhere"));
    expect(await statusOf(origin, V1.indexName)).toBe(404);
  });
});
