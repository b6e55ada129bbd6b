import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseServedPath } from "../../src/serve/served-path.js";
import { makePair } from "../make-pair.js";
import { ask, eventually, startTestOrigin } from "../origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });

describe("what is not an image", () => {
  const ESCAPES = [
    "/",
    "/MEDVImages",
    "/MEDVImages/",
    "/MEDVImages/notes.txt",
    "/MEDVImages/sub/win7_1.ckm",
    "/MEDVImages//win7_1.ckm",
    "/MEDVImages/../MEDVImages/win7_1.ckm",
    "/MEDVImages/./win7_1.ckm",
    "/MEDVImages/../secret_1.ckm",
    "/MEDVImages/..%2fsecret_1.ckm",
    "/MEDVImages/%2e%2e/secret_1.ckm",
    "/MEDVImages/%2e%2e%2fsecret_1.ckm",
    "/MEDVImages/..%5csecret_1.ckm",
    "/MEDVImages/..\\secret_1.ckm",
    "/MEDVImages/%252e%252e%252fsecret_1.ckm",
    "/MEDVImages/..%c0%afsecret_1.ckm",
    "/MEDVImages/%c0%ae%c0%ae/secret_1.ckm",
    "/MEDVImages/win7_1.ckm%00",
    "/MEDVImages/win7_1.ckm%00.index",
    "/MEDVImages/C:%5cWindows%5cwin.ini",
    "/MEDVImages/C:win7_1.ckm",
    "/MEDVImages/win7_1.ckm::$DATA",
    "/MEDVImages/win7_1.ckm:stream",
    "/MEDVImages/win7_1.ckm.",
    "/MEDVImages/win7_1.ckm%20",
    "/MEDVImages/win7_1.ckm%2e%20",
    "/MEDVImages/con.ckm",
    "/MEDVImages/NUL",
    "/MEDVImages/aux.ckm.index",
    "/MEDVImages/%5c%5cserver%5cshare%5cx.ckm",
    "/MEDVImages/linked_1.ckm",
    "/MEDVImages/linked_1.ckm.index",
    "/MEDVImages/win7_1.ckm/",
    "/MEDVImages/win7_1.ckm;x",
    "/MEDVImages%2fwin7_1.ckm",
    "/MEDVImages/%zz",
    "/MEDVImages/%",
    "/other/win7_1.ckm",
    "/ckmesh/nothing",
    "/ckmesh/catalogue/%",
    "/-/file",
    `/MEDVImages/${"a".repeat(5000)}.ckm`,
  ];

  it("is answered 404 with JSON and without a word of the folder, whatever way it is written", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    writeFileSync(join(origin.folder, "secret_1.ckm"), "outside");
    writeFileSync(join(origin.root, "notes.txt"), "not served");
    mkdirSync(join(origin.root, "sub"));
    writeFileSync(join(origin.root, "sub", V1.packName), V1.pack);
    const answers = await Promise.all(
      ESCAPES.map(async (target) => {
        const { status, body } = await origin.get(target);
        return { target, status, body };
      }),
    );
    const wrong = answers
      .filter(({ status }) => status !== 404)
      .map(({ target, status }) => [target, status]);
    expect(wrong).toEqual([]);
    for (const { body } of answers)
      expect(JSON.parse(body.toString())).toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
    expect(answers.some(({ body }) => body.includes("images") || body.includes("outside"))).toBe(false);
  });

  it("is not reached by a symbolic link, and the status says so", async () => {
    const origin = await startTestOrigin();
    const linked = makePair({ name: "linked", version: 1 });
    writeFileSync(join(origin.folder, "a"), linked.pack);
    writeFileSync(join(origin.folder, "b"), linked.index);
    symlinkSync(join(origin.folder, "a"), join(origin.root, linked.packName));
    symlinkSync(join(origin.folder, "b"), join(origin.root, linked.indexName));
    await eventually(async () =>
      (await origin.get("/ckmesh/api/status")).body.toString().includes("symbolic link"),
    );
    expect((await origin.get("/MEDVImages/linked_1.ckm")).status).toBe(404);
  });

  it("never becomes a file key with a separator, a dot segment or more than one segment", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.webPath()), (text) => {
        const path = parseServedPath(`/MEDVImages/${text}`, "MEDVImages");
        expect(["outside", "directory", "file"]).toContain(path.type);
      }),
    );
  });

  it("answers any target and any Range with a status below 500", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    const [url] = origin.origin.urls;
    const visible = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(visible, visible, visible, async (path, range, tag) => {
        const headers = {
          range: `bytes=${range}`,
          "if-range": tag,
          "if-none-match": tag,
          authorization: `Basic ${range}`,
        };
        const target = `/MEDVImages/${path.replaceAll("#", "")}`;
        const answers = await Promise.all(
          [target, "/MEDVImages/win7_1.ckm", "/ckmesh/ticket?peer=" + encodeURIComponent(path)].map((t) =>
            ask(new URL(url ?? ""), t, headers, "GET"),
          ),
        );
        expect(Math.max(...answers.map(({ status }) => status))).toBeLessThan(500);
      }),
      { numRuns: 60 },
    );
  });

  it("answers what is no HTTP with 400 and closes", async () => {
    const origin = await startTestOrigin();
    const { port, hostname } = new URL(origin.origin.urls[0] ?? "");
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () =>
        socket.write("\u0016\u0003\u0001 garbage\r\n\r\n"),
      );
      let received = "";
      socket.on("data", (data) => (received += data.toString()));
      socket.on("end", () => resolve(received));
      socket.on("error", reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('"ERR_REQUEST_INVALID"');
  });

  it("answers headers above 64 KiB with 431 and those below normally", async () => {
    const origin = await startTestOrigin();
    expect((await origin.get("/healthz", { "x-large": "a".repeat(40_000) })).status).toBe(200);
    expect((await origin.get("/healthz", { "x-large": "a".repeat(70_000) })).status).toBe(431);
  });
});

describe("directoryBrowse", () => {
  it("lists what is published, and nothing else of the folder", async () => {
    const origin = await startTestOrigin({
      pairs: [V1],
      flags: { "virtualDirectory.directoryBrowse": true },
    });
    await origin.published("win7", 1);
    writeFileSync(join(origin.root, "notes.txt"), "x");
    const page = (await origin.get("/MEDVImages/")).body.toString();
    expect(page).toContain("win7_1.ckm.index");
    expect(page).not.toContain("notes");
  });
});
