import { createHash, generateKeyPairSync } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, type Clock } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { verifyInWorker } from "../../src/publish/verify-in-worker.js";
import { fileKey } from "../../src/serve/served-path.js";
import { makePair } from "../make-pair.js";
import { eventually } from "../origin-fixture.js";
import { ALICE, BOB, openBench } from "./upload-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });
const FOREIGN = Buffer.alloc(200_000, "foreign pack ");
const FOREIGN_INDEX = Buffer.from("foreign index");

function damaged(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

describe("an uploaded pair", () => {
  it("is published when Close of the pack is answered, and told with its user", async () => {
    const bench = await openBench();
    const sent = await bench.sendPair(V1);
    expect(sent.map(({ fault }) => fault)).toEqual([undefined, undefined]);
    expect(bench.catalogue.newest("win7")?.id).toBe(V1.idHex);
    expect(bench.told).toEqual(["win7 1 new by alice"]);
    expect(readFileSync(join(bench.root, V1.packName)).equals(V1.pack)).toBe(true);
    expect(readFileSync(join(bench.root, V1.indexName)).equals(V1.index)).toBe(true);
    expect(sent.map(({ id }) => bench.stateOf(id))).toEqual(["published", "published"]);
  });

  it("is published in the other order, too", async () => {
    const bench = await openBench();
    const pack = await bench.send(V1.pack, "win7.ckm");
    expect(bench.stateOf(pack.id)).toBe("waiting");
    await bench.send(V1.index, "win7.ckm.index");
    expect(bench.told).toEqual(["win7 1 new by alice"]);
  });

  it("is published when each of the two comes in one fragment", async () => {
    const bench = await openBench();
    const sent = await bench.sendPair(V1, { firstBytes: 1e9 });
    expect(sent.map(({ fault }) => fault)).toEqual([undefined, undefined]);
    expect(bench.told).toEqual(["win7 1 new by alice"]);
  });

  it("stays published when the folder is looked at", async () => {
    const bench = await openBench();
    await bench.sendPair(V1);
    await bench.sendPair(V2);
    writeFileSync(join(bench.root, "mac_1.ckm"), FOREIGN);
    await eventually(() => bench.told.includes("mac 1 new by folder"));
    expect(bench.told).toEqual(["win7 1 new by alice", "win7 2 new by alice", "mac 1 new by folder"]);
  });

  it("leaves nothing behind but the record of its end", async () => {
    const bench = await openBench();
    await bench.sendPair(V1);
    const left = (): readonly string[] => readdirSync(join(bench.folder, "closed"));
    await eventually(() => left().every((name) => name.endsWith(".json")));
    expect(left()).toHaveLength(2);
    expect(bench.uploads.heldBytes()).toBe(0);
  });

  it("counts as published when somebody uploads the same bytes again", async () => {
    const bench = await openBench();
    await bench.sendPair(V1);
    const again = await bench.sendPair(V1, { user: BOB });
    expect(again.map(({ fault }) => fault)).toEqual([undefined, undefined]);
    expect(again.map(({ id }) => bench.stateOf(id))).toEqual(["published", "published"]);
    expect(bench.told).toEqual(["win7 1 new by alice"]);
  });

  it("counts as published when the folder brought the same files meanwhile, each half of it", async () => {
    const bench = await openBench();
    const pack = await bench.send(V1.pack, "win7.ckm");
    writeFileSync(join(bench.root, V1.packName), V1.pack);
    writeFileSync(join(bench.root, V1.indexName), V1.index);
    await eventually(() => bench.told.includes("win7 1 new by folder"));
    const index = await bench.send(V1.index, "win7.ckm.index");
    expect(index.fault).toBeUndefined();
    await eventually(() => bench.stateOf(pack.id) === "published");
  });

  it("may come from two users at once, under two numbers and under one", async () => {
    const bench = await openBench();
    const other = makePair({ name: "win7", version: 2, seed: 77 });
    const all = await Promise.all([
      bench.sendPair(V1),
      bench.sendPair(V2),
      bench.sendPair(other, { user: BOB }),
    ]);
    await eventually(() => bench.uploads.list().every(({ end }) => end !== undefined));
    const outcomes = all.map(([, pack]) => bench.stateOf(pack?.id ?? ""));
    expect(outcomes[0]).toBe("published");
    expect(new Set(outcomes.slice(1))).toEqual(new Set(["published", "refused"]));
    const served = bench.catalogue.get("win7", 2);
    const winner = served?.id === V2.idHex ? V2 : other;
    expect(readFileSync(join(bench.root, V2.packName)).equals(winner.pack)).toBe(true);
    expect(readFileSync(join(bench.root, V2.indexName)).equals(winner.index)).toBe(true);
  });
});

describe("a file that is no good", () => {
  it("is refused at Close for a damaged frame; its index waits for a better pack", async () => {
    const bench = await openBench();
    const [index, bad] = await bench.sendPair({ ...V1, pack: damaged(V1.pack, 70_000) });
    expect(bad?.fault).toMatchObject({ code: "ERR_PACK_INVALID", status: 400, hresult: 0x80070057 });
    expect(bench.stateOf(index?.id ?? "")).toBe("waiting");
    expect(bench.audited).toMatchObject([
      { action: "upload-refused", code: "ERR_PACK_INVALID", user: "alice" },
    ]);
    const good = await bench.send(V1.pack, "win7.ckm");
    expect(good.fault).toBeUndefined();
    expect(bench.told).toEqual(["win7 1 new by alice"]);
  });

  it("is refused for another version's content under a number that was published", async () => {
    const bench = await openBench();
    await bench.sendPair(V1);
    const other = makePair({ name: "win7", version: 1, seed: 99 });
    const index = await bench.send(other.index, "win7.ckm.index");
    expect(index.fault).toMatchObject({ code: "ERR_IMAGE_EXISTS", status: 403, hresult: 0x80070005 });
    expect(String(index.fault)).toContain("--version 2");
    const pack = await bench.send(other.pack, "win7.ckm");
    expect(pack.fault).toMatchObject({ code: "ERR_IMAGE_EXISTS", status: 403 });
  });

  it("is refused when its files lie in the folder already, and the folder keeps them", async () => {
    const bench = await openBench();
    writeFileSync(join(bench.root, V1.indexName), "something else");
    const [, pack] = await bench.sendPair(V1);
    expect(pack?.fault).toMatchObject({ code: "ERR_IMAGE_EXISTS" });
    expect(existsSync(join(bench.root, V1.packName))).toBe(false);
    expect(readFileSync(join(bench.root, V1.indexName), "utf8")).toBe("something else");
  });

  it.each([
    ["a damaged index", damaged(V1.index, V1.index.length - 1), "win7.ckm.index", "ERR_INDEX_INVALID"],
    ["a truncated index", V1.index.subarray(0, -1), "win7.ckm.index", "ERR_INDEX_INVALID"],
    ["an index under another name", V1.index, "mac.ckm.index", "ERR_INDEX_INVALID"],
    ["an index under another number", V1.index, "win7_2.ckm.index", "ERR_INDEX_INVALID"],
    ["an empty index", Buffer.alloc(0), "win7.ckm.index", "ERR_INDEX_INVALID"],
    ["an empty pack", Buffer.alloc(0), "win7.ckm", "ERR_PACK_INVALID"],
  ])("is refused as %s", async (_what, bytes, name, code) => {
    const bench = await openBench();
    const { fault, id } = await bench.send(bytes, name);
    expect(fault).toMatchObject({ code, status: 400 });
    expect(bench.stateOf(id)).toBe("refused");
    expect(() => bench.uploads.wasClosed(id, ALICE)).toThrow(expect.objectContaining({ code }));
  });

  it("is refused when no configured publisher has signed its index", async () => {
    const [right, wrong] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
    const bench = await openBench({ publishers: [publicKeyBytes(right.publicKey)] });
    const foreign = makePair({ name: "a", version: 1, signer: wrong.privateKey });
    const { fault } = await bench.send(foreign.index, "a.ckm.index");
    expect(fault).toMatchObject({ code: "ERR_SIGNATURE_INVALID", status: 403 });
    const [, good] = await bench.sendPair(makePair({ name: "b", version: 1, signer: right.privateKey }));
    expect(good?.fault).toBeUndefined();
    expect(bench.told).toEqual(["b 1 new by alice"]);
  });

  it("is refused with what it was sent with when the two do not belong together", async () => {
    const bench = await openBench();
    const [index, pack] = [
      await bench.send(V1.index, "win7.ckm.index"),
      await bench.send(V2.pack, "win7.ckm"),
    ];
    await eventually(() => bench.stateOf(pack.id) === "refused");
    await eventually(() => bench.stateOf(index.id) === "refused");
    const atOnce = await bench.send(V1.index, "win7_1.ckm.index");
    expect(atOnce.fault).toBeUndefined();
    const wrong = await bench.send(V2.pack, "win7_1.ckm");
    expect(wrong.fault).toMatchObject({ code: "ERR_PACK_INVALID", status: 400 });
  });

  it("is refused when the other half does not come", async () => {
    const bench = await openBench({ overrides: { holdMs: () => 50 } });
    const index = await bench.send(V1.index, "win7.ckm.index");
    await eventually(() => bench.stateOf(index.id) === "refused");
    expect(bench.uploads.list()[0]?.end).toMatchObject({ code: "ERR_TIMEOUT" });
  });
});

describe("a pack that is not ours", () => {
  it("gets the next number, with the index that its user uploaded", async () => {
    const bench = await openBench();
    await bench.sendPair(makePair({ name: "win7", version: 4 }));
    await bench.send(FOREIGN_INDEX, "win7.ckm.index");
    const pack = await bench.send(FOREIGN, "win7.ckm");
    expect(pack.fault).toBeUndefined();
    const version = bench.catalogue.newest("win7");
    expect(version).toMatchObject({ version: 5, isOpaque: true });
    expect(version?.index.etag).toContain(
      createHash("sha256").update(FOREIGN_INDEX).digest("hex").slice(0, 40),
    );
  });

  it("is published alone when no index comes, and not while one is on its way", async () => {
    const bench = await openBench();
    await bench.send(FOREIGN_INDEX, "win7.ckm.index", { stopAt: 1, user: BOB });
    const bobs = await bench.send(FOREIGN, "win7.ckm", { user: BOB });
    const alices = await bench.send(Buffer.concat([FOREIGN, FOREIGN]), "win7.ckm");
    await eventually(() => bench.stateOf(alices.id) === "published");
    expect(bench.stateOf(bobs.id)).toBe("waiting");
    expect(bench.catalogue.newest("win7")).toMatchObject({ version: 1, isOpaque: true });
  });

  it("takes no number that was used, also when two come at once", async () => {
    const bench = await openBench();
    const packs = await Promise.all([
      bench.send(FOREIGN, "win7.ckm"),
      bench.send(FOREIGN.subarray(1), "win7.ckm", { user: BOB }),
    ]);
    await eventually(() => packs.every(({ id }) => bench.stateOf(id) === "published"));
    expect(bench.catalogue.list()[0]?.versions.map(({ version }) => version)).toEqual([1, 2]);
  });

  it("is refused where publishers are configured", async () => {
    const { publicKey } = generateKeyPairSync("ed25519");
    const bench = await openBench({ publishers: [publicKeyBytes(publicKey)] });
    const pack = await bench.send(FOREIGN, "win7.ckm");
    const index = await bench.send(FOREIGN_INDEX, "win7.ckm.index");
    expect(pack.fault).toMatchObject({ code: "ERR_SIGNATURE_INVALID", status: 403 });
    expect(index.fault).toMatchObject({ code: "ERR_SIGNATURE_INVALID", status: 403 });
  });
});

describe("a failure that is not the file's", () => {
  it("refuses nothing: the upload waits, says why, and is tried again", async () => {
    let skew = 0;
    let isFull = true;
    const clock: Clock = {
      now: () => systemClock.now(),
      wall: () => systemClock.wall() + skew,
      after: (ms, run) => systemClock.after(Math.min(ms, 20), run),
    };
    const bench = await openBench({
      overrides: { clock, settleMs: 0 },
      verify: (pair, signal) =>
        isFull
          ? Promise.reject(new AppError("ERR_STORE_FULL", "no space left"))
          : verifyInWorker(pair, signal),
    });
    const pack = await bench.send(FOREIGN, "win7.ckm");
    await eventually(() => bench.stateOf(pack.id) === "waiting");
    expect(bench.uploads.list()[0]?.trouble).toBe("no space left");
    isFull = false;
    skew = 10_000;
    await eventually(() => bench.stateOf(pack.id) === "published");
    expect(bench.audited).toEqual([]);
  });
});

describe("a version that exists", () => {
  it("is not admitted under its own URL, but under the alias", async () => {
    const bench = await openBench();
    await bench.sendPair(V1);
    await expect(bench.uploads.admit(bench.uploads.parseTarget("win7_1.ckm"))).rejects.toMatchObject({
      code: "ERR_IMAGE_EXISTS",
      status: 403,
      hresult: 0x80070005,
    });
    await bench.uploads.admit(bench.uploads.parseTarget("win7.ckm"));
  });

  it("is not admitted either when a file of its name lies in the folder, published or not", async () => {
    const bench = await openBench();
    writeFileSync(join(bench.root, V1.packName), "half a copy");
    await expect(bench.uploads.admit(bench.uploads.parseTarget("win7_1.ckm"))).rejects.toMatchObject({
      code: "ERR_IMAGE_EXISTS",
    });
    await bench.uploads.admit(bench.uploads.parseTarget("win7_1.ckm.index"));
  });
});

describe("where overwriting is allowed", () => {
  const overrides = { allowOverwrites: () => true };

  it("a version's own URL takes the same content again, in the place of damaged files", async () => {
    const bench = await openBench({ overrides });
    await bench.sendPair(V1);
    await bench.sendPair(V2);
    writeFileSync(join(bench.root, V2.packName), damaged(V2.pack, 70_000));
    await eventually(() => bench.told.includes("win7 2 removed"));
    const index = await bench.send(V2.index, V2.indexName);
    const pack = await bench.send(V2.pack, V2.packName);
    expect([index.fault, pack.fault]).toEqual([undefined, undefined]);
    expect(bench.catalogue.newest("win7")?.version).toBe(2);
    expect(readFileSync(join(bench.root, V2.packName)).equals(V2.pack)).toBe(true);
    expect(bench.told.at(-1)).toBe("win7 2 again by alice");
  });

  it("files of a published version are replaced while it stays published", async () => {
    const bench = await openBench({ overrides });
    await bench.sendPair(V1);
    const before = bench.catalogue.newest("win7")?.pack.ino;
    await bench.send(V1.index, V1.indexName);
    await bench.send(V1.pack, V1.packName);
    expect(bench.catalogue.newest("win7")?.pack.ino).not.toBe(before);
    expect(bench.told).toEqual(["win7 1 new by alice", "win7 1 again by alice"]);
  });

  it("other content is refused all the same", async () => {
    const bench = await openBench({ overrides });
    await bench.sendPair(V1);
    const other = makePair({ name: "win7", version: 1, seed: 99 });
    const index = await bench.send(other.index, other.indexName);
    expect(index.fault).toMatchObject({ code: "ERR_IMAGE_EXISTS" });
  });
});

describe("a staged file", () => {
  it("is there for its uploader only, until it is published", async () => {
    const bench = await openBench();
    const key = fileKey("WIN7.ckm.INDEX");
    const index = await bench.send(V1.index, "win7.ckm.index");
    const found = await bench.uploads.findStaged(key, ALICE);
    expect(readFileSync(found?.file.path ?? "").equals(V1.index)).toBe(true);
    expect(await bench.uploads.findStaged(key, BOB)).toBeUndefined();
    expect(await bench.uploads.findStaged(key, undefined)).toBeUndefined();
    expect(bench.uploads.wasClosed(index.id, ALICE)).toBe(true);
    await bench.send(V1.pack, "win7.ckm");
    expect(await bench.uploads.findStaged(key, ALICE)).toBeUndefined();
  });

  it("can be taken away while it waits", async () => {
    const bench = await openBench();
    const { id } = await bench.send(V1.index, "win7.ckm.index");
    const actor = { user: "bob", address: "192.0.2.1" };
    expect(await bench.uploads.remove(id, actor)).toBe(true);
    expect(await bench.uploads.remove(id, actor)).toBe(false);
    expect(bench.audited).toEqual([
      {
        action: "upload-removed",
        file: "win7.ckm.index",
        session: id,
        user: "alice",
        remover: "bob",
        address: "192.0.2.1",
      },
    ]);
    expect(readdirSync(join(bench.folder, "closed"))).toEqual([]);
  });
});

describe("a restart", () => {
  it("goes on with what was closed, and remembers what ended", async () => {
    const first = await openBench();
    const pack = await first.send(V1.pack, "win7.ckm");
    const bad = await first.send(Buffer.alloc(0), "win7.ckm.index");
    await first.close();
    const second = await openBench({ folder: first.folder });
    expect(second.uploads.wasClosed(pack.id, ALICE)).toBe(true);
    expect(() => second.uploads.wasClosed(bad.id, ALICE)).toThrow("empty");
    await second.send(V1.index, "win7.ckm.index");
    expect(second.told).toEqual(["win7 1 new by alice"]);
  });
});
