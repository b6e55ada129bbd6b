import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MadePair, makePair } from "../make-pair.js";
import { startTestOrigin, type TestOrigin } from "../origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });
const PACK = "/MEDVImages/win7_1.ckm";

let origin: TestOrigin;
const endings: (() => void | Promise<void>)[] = [];
beforeAll(async () => {
  origin = await startTestOrigin({ pairs: [V1], onEnd: (run) => endings.unshift(run) });
  await origin.published("win7", 1);
});
afterAll(async () => {
  for (const run of endings) await run(); // oxlint-disable-line no-await-in-loop -- in order
});

describe("GET and HEAD", () => {
  it("serves pack and index byte for byte, with strong tags that differ", async () => {
    const [pack, index] = await Promise.all([origin.get(PACK), origin.get(`${PACK}.index`)]);
    expect([pack.status, index.status]).toEqual([200, 200]);
    expect(pack.body.equals(V1.pack) && index.body.equals(V1.index)).toBe(true);
    expect(pack.headers).toMatchObject({
      "content-type": "application/octet-stream",
      "content-length": String(V1.pack.length),
      "accept-ranges": "bytes",
      "cache-control": "private, immutable",
      "last-modified": new Date(1_700_000_001_000).toUTCString(),
    });
    expect(pack.headers.etag).toMatch(/^"[0-9a-f]{40}-p"$/);
    expect(index.headers.etag).not.toBe(pack.headers.etag);
  });

  it("answers HEAD with the same head and no body", async () => {
    const [head, get] = await Promise.all([origin.get(PACK, {}, "HEAD"), origin.get(PACK)]);
    expect(head.body).toHaveLength(0);
    expect({ ...head.headers, date: "" }).toEqual({ ...get.headers, date: "" });
  });

  it.each([
    "/medvimages/WIN7_1.CKM",
    "/MEDVImages/Win7_1.ckm",
    "/MEDVIMAGES/win7_1.ckm?x=1",
    "/MEDVImages/win7%5F1.ckm",
  ])("does not care for case, query or needless escapes: %s", async (target) => {
    const answer = await origin.get(target);
    expect(answer.body.equals(V1.pack)).toBe(true);
  });

  it("takes the absolute form of a target", async () => {
    expect((await origin.get(`http://anything${PACK}`)).status).toBe(200);
  });

  it("answers other methods with 405 and Allow", async () => {
    const answers = await Promise.all(
      ["PUT", "DELETE", "POST", "OPTIONS", "TRACE", "PROPFIND", "PATCH"].map((method) =>
        origin.get(PACK, {}, method),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([405, 405, 405, 405, 405, 405, 405]);
    expect(answers[0]?.headers.allow).toBe("GET, HEAD");
  });
});

describe("ranges", () => {
  const size = V1.pack.length;

  it.each([
    ["bytes=0-0", 0, 0],
    ["bytes=100-199", 100, 199],
    ["bytes=-5", size - 5, size - 1],
    [`bytes=${size - 3}-`, size - 3, size - 1],
    ["bytes=7-99999999", 7, size - 1],
    ["bytes=-99999999", 0, size - 1],
    ["bytes=0-", 0, size - 1],
    ["BYTES = 1-2", 1, 2],
    ["bytes=1-2,99999999-", 1, 2],
  ])("answers %s with 206", async (range, first, last) => {
    const answer = await origin.get(PACK, { range });
    expect(answer.status).toBe(206);
    expect(answer.headers["content-range"]).toBe(`bytes ${first}-${last}/${size}`);
    expect(answer.body.equals(V1.pack.subarray(first, last + 1))).toBe(true);
  });

  it.each([`bytes=${size}-`, "bytes=-0", "bytes=99999999-99999999"])(
    "answers %s with 416 and the size",
    async (range) => {
      const answer = await origin.get(PACK, { range });
      expect(answer.status).toBe(416);
      expect(answer.headers["content-range"]).toBe(`bytes */${size}`);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ code: "ERR_RANGE_UNSATISFIABLE" });
    },
  );

  it.each([
    "bytes=2-1",
    "bytes=a-b",
    "bytes=",
    "bytes=--1",
    "items=0-1",
    "bytes=1",
    `bytes=${"0-0,".repeat(70)}1-1`,
    "bytes=0-,0-",
  ])("ignores %s and sends all", async (range) => {
    const answer = await origin.get(PACK, { range });
    expect([answer.status, answer.body.length]).toEqual([200, size]);
  });

  it("sends several ranges as multipart/byteranges in the order asked", async () => {
    const answer = await origin.get(PACK, { range: "bytes=500-509,0-4,-3" });
    expect(answer.status).toBe(206);
    expect(Number(answer.headers["content-length"])).toBe(answer.body.length);
    const boundary = /^multipart\/byteranges; boundary=([0-9a-f]{32})$/.exec(
      answer.headers["content-type"] ?? "",
    )?.[1];
    const part = (first: number, last: number): Buffer =>
      Buffer.concat([
        Buffer.from(
          `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${first}-${last}/${size}\r\n\r\n`,
        ),
        V1.pack.subarray(first, last + 1),
      ]);
    const expected = Buffer.concat([
      part(500, 509),
      part(0, 4),
      part(size - 3, size - 1),
      Buffer.from(`\r\n--${boundary}--\r\n`),
    ]);
    expect(answer.body.equals(expected)).toBe(true);
  });

  it("answers a range of HEAD without a body", async () => {
    const answer = await origin.get(PACK, { range: "bytes=0-9" }, "HEAD");
    expect([answer.status, answer.headers["content-length"], answer.body.length]).toEqual([206, "10", 0]);
  });
});

describe("conditions", () => {
  it("answers 304, 412 and If-Range by the entity tag", async () => {
    const { headers } = await origin.get(PACK, {}, "HEAD");
    const etag = String(headers.etag);
    const status = async (request: Record<string, string>): Promise<number> =>
      (await origin.get(PACK, request)).status;
    expect(await status({ "if-none-match": etag })).toBe(304);
    expect(await status({ "if-none-match": `"x", W/${etag}` })).toBe(304);
    expect(await status({ "if-none-match": "*" })).toBe(304);
    expect(await status({ "if-none-match": '"x"' })).toBe(200);
    expect(await status({ "if-match": etag, range: "bytes=0-1" })).toBe(206);
    expect(await status({ "if-match": '"x"' })).toBe(412);
    expect(await status({ "if-match": `W/${etag}` })).toBe(412);
    expect(await status({ "if-match": "*" })).toBe(200);
    expect(await status({ "if-range": etag, range: "bytes=0-1" })).toBe(206);
    expect(await status({ "if-range": '"x"', range: "bytes=0-1" })).toBe(200);
    expect(await status({ "if-range": `W/${etag}`, range: "bytes=0-1" })).toBe(200);
  });

  it("answers by date, and prefers tags to dates", async () => {
    const { headers } = await origin.get(PACK, {}, "HEAD");
    const date = String(headers["last-modified"]);
    const [before, after] = [new Date(0).toUTCString(), new Date().toUTCString()];
    const status = async (request: Record<string, string>): Promise<number> =>
      (await origin.get(PACK, request)).status;
    expect(await status({ "if-modified-since": date })).toBe(304);
    expect(await status({ "if-modified-since": after })).toBe(304);
    expect(await status({ "if-modified-since": before })).toBe(200);
    expect(await status({ "if-modified-since": "yesterday" })).toBe(200);
    expect(await status({ "if-modified-since": after, "if-none-match": '"x"' })).toBe(200);
    expect(await status({ "if-unmodified-since": date })).toBe(200);
    expect(await status({ "if-unmodified-since": before })).toBe(412);
    expect(await status({ "if-range": date, range: "bytes=0-1" })).toBe(206);
    expect(await status({ "if-range": after, range: "bytes=0-1" })).toBe(200);
  });

  it("gives validators with 304", async () => {
    const { headers } = await origin.get(PACK, { "if-none-match": "*" });
    expect(headers).toHaveProperty("etag");
    expect(headers).toHaveProperty("cache-control", "private, immutable");
    expect(headers).not.toHaveProperty("content-length");
  });
});

describe("the alias", () => {
  it("is the newest version, revalidated each time, and moves for both files at once", async () => {
    const own = await startTestOrigin({ pairs: [V1] });
    await own.published("win7", 1);
    const before = await own.get("/MEDVImages/win7.ckm");
    expect(before.headers).toMatchObject({
      "cache-control": "private, no-cache",
      "content-location": "win7_1.ckm",
    });
    expect(before.body.equals(V1.pack)).toBe(true);
    own.drop(V2);
    await own.published("win7", 2);
    const [pack, index, old] = await Promise.all(
      ["win7.ckm", "win7.ckm.index", "win7_1.ckm"].map((name) => own.get(`/MEDVImages/${name}`)),
    );
    expect(pack?.body.equals(V2.pack) && index?.body.equals(V2.index) && old?.body.equals(V1.pack)).toBe(
      true,
    );
    expect(pack?.headers.etag).toBe((await own.get("/MEDVImages/win7_2.ckm", {}, "HEAD")).headers.etag);
  });

  it("does not answer 304 by date when its newest version is an older one again", async () => {
    const own = await startTestOrigin({ pairs: [V1] });
    await own.published("win7", 1);
    const newer: MadePair = makePair({ name: "win7", version: 2, createdAt: 1_600_000_000 });
    own.drop(newer);
    await own.published("win7", 2);
    const since = new Date(1_700_000_001_000).toUTCString();
    expect((await own.get("/MEDVImages/win7.ckm.index", { "if-modified-since": since })).status).toBe(200);
  });
});
