import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UploadPacer } from "../src/upload-pacer.js";
import { type BitsServer, reply } from "./bits-server.js";
import { fastClock, makeFile, startServer, tempFolder, touch, upload } from "./upload-fixtures.js";

const INDEX = "/images/Win11_2.ckm.index";
const PACK = "/images/Win11_2.ckm";
const ALIAS = "/images/Win11.ckm.index";

async function setUp(packBytes = 3_000_000) {
  const folder = await tempFolder();
  const { server, url } = await startServer();
  const index = await makeFile(join(folder, "Win11_2.ckm.index"), 50_000);
  const pack = await makeFile(join(folder, "Win11_2.ckm"), packBytes);
  const files = { index: index.source, pack: pack.source };
  return { folder, server, url, index: index.bytes, pack: pack.bytes, files };
}

/** Makes the server an origin of ours that publishes what it is sent. */
function makeOrigin(
  server: BitsServer,
  states: readonly object[] = [{ state: "published", version: 2 }],
): void {
  const ids: string[] = [];
  const left = [...states];
  server.behaviour.answer = (packet, { headers }) => {
    if (packet === "Close-Session") ids.push(headers["bits-session-id"] ?? "");
    return undefined;
  };
  server.behaviour.uploads = () => {
    const state = ids.length < 2 ? { state: "waiting" } : left.length > 1 ? left.shift() : left[0];
    return {
      uploads: ids.map((id) => Object.assign({ id: id.slice(1, -1).toLowerCase(), user: "alice" }, state)),
    };
  };
}

describe("to a BITS server", () => {
  it("the pack goes first, then the index, then the index as the alias", async () => {
    const { server, url, files, folder, index, pack } = await setUp();
    const { result } = await upload(url, files, folder);
    expect(result).toEqual({ bytesTotal: 3_100_000, bytesSent: 3_100_000, bytesSpared: 0 });
    expect([...server.files.keys()]).toEqual([PACK, INDEX, ALIAS]);
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
    expect(server.files.get(INDEX)?.equals(index)).toBe(true);
    expect(server.files.get(ALIAS)?.equals(index)).toBe(true);
    expect(await readdir(folder)).toEqual(["Win11_2.ckm", "Win11_2.ckm.index"]);
  });

  it("that does not let the alias be replaced, says so, and the next try sends nothing else", async () => {
    const { server, url, files, folder } = await setUp();
    server.behaviour.answer = (packet, { path }) =>
      path === ALIAS && packet === "Create-Session"
        ? reply(403, ["BITS-Packet-Type: Ack", "BITS-Error-Code: 0x80070005"])
        : undefined;
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ message: expect.stringContaining("BITSAllowOverwrites") });
    server.behaviour.answer = () => undefined;
    const again = await upload(url, files, folder);
    expect(again.result).toMatchObject({ bytesSent: 50_000, bytesSpared: 3_050_000 });
  });

  it("that takes small fragments only, sends small fragments", async () => {
    const { server, url, files, folder, pack } = await setUp(400_000);
    server.behaviour.answer = (_, { body }) => (body.length > 20_000 ? reply(413, []) : undefined);
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ bytesTotal: 500_000 });
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
  });

  it("that breaks the connection in a fragment, goes on from where the server is", async () => {
    const { server, url, files, folder, pack } = await setUp();
    server.behaviour.breakAfter = 200_000;
    const { result, told } = await upload(url, files, folder);
    expect(result).toMatchObject({ bytesTotal: 3_100_000 });
    expect(told.retries.map(({ code }) => code)).toEqual(["ERR_ORIGIN_UNREACHABLE"]);
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
  });

  it("that forgets the session, begins anew", async () => {
    const { server, url, files, folder, pack } = await setUp();
    let fragments = 0;
    server.behaviour.answer = (packet) => {
      if (packet === "Fragment") fragments += 1;
      if (fragments === 3) server.forgetSessions();
      return undefined;
    };
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ bytesTotal: 3_100_000 });
    expect(server.packets.filter((packet) => packet === "Create-Session").length).toBe(4);
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
  });

  it("that is no BITS server, fails at once", async () => {
    const { server, url, files, folder } = await setUp();
    server.behaviour.answer = () => reply(405, [], "<p>method not allowed");
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ code: "ERR_UPLOAD_DISABLED" });
    expect(server.packets).toEqual(["Ping"]);
  });
});

describe("an upload that was broken off", () => {
  it("goes on in its session from the byte that the server has", async () => {
    const { server, url, files, folder, pack } = await setUp();
    const stop = new AbortController();
    server.behaviour.answer = () => {
      if (server.ranges.length === 2) stop.abort();
      return undefined;
    };
    const first = await upload(url, files, folder, { signal: stop.signal });
    expect(first.result).toMatchObject({ code: "ERR_ABORTED" });
    const resumeFile = await readFile(join(folder, "Win11_2.ckm.upload"), "utf8");
    expect(JSON.parse(resumeFile)).toMatchObject({ files: { "Win11_2.ckm": { isClosed: false } } });
    server.behaviour.answer = () => undefined;
    const before = server.ranges.length;
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ bytesTotal: 3_100_000 });
    expect(server.ranges[before]).not.toMatch(/^bytes 0-/);
    expect(server.packets.filter((packet) => packet === "Create-Session").length).toBe(3);
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
  });

  it("begins anew when the file is another one", async () => {
    const { server, url, files, folder } = await setUp();
    const stop = new AbortController();
    server.behaviour.answer = (packet) => {
      if (packet === "Fragment") stop.abort();
      return undefined;
    };
    await upload(url, files, folder, { signal: stop.signal });
    server.behaviour.answer = () => undefined;
    const pack = await makeFile(join(folder, "Win11_2.ckm"), 3_000_000);
    const { result } = await upload(url, { ...files, pack: pack.source }, folder);
    expect(result).toMatchObject({ bytesSent: 3_100_000 });
    expect(server.files.get(PACK)?.equals(pack.bytes)).toBe(true);
  });

  it("begins anew at another URL", async () => {
    const { server, url, files, folder } = await setUp();
    const stop = new AbortController();
    server.behaviour.answer = (packet) => {
      if (packet === "Fragment") stop.abort();
      return undefined;
    };
    await upload(url, files, folder, { signal: stop.signal });
    const other = await startServer();
    const { result } = await upload(other.url, files, folder);
    expect(result).toMatchObject({ bytesSent: 3_100_000 });
  });

  it("is given up when its file changes under way, and the server is told", async () => {
    const { server, url, files, folder } = await setUp();
    const changed: Promise<void>[] = [];
    server.behaviour.answer = (packet) => {
      if (packet === "Create-Session") changed.push(touch(join(folder, "Win11_2.ckm")));
      return undefined;
    };
    const { result } = await upload(url, files, folder);
    await Promise.all(changed);
    expect(result).toMatchObject({ code: "ERR_UPLOAD_CONFLICT" });
    expect(server.packets.at(-1)).toBe("Cancel-Session");
    expect(server.openSessions).toBe(0);
  });

  it("cannot be resumed when the file for that cannot be written, and this is told once", async () => {
    const { url, files, folder } = await setUp();
    const { result, told } = await upload(url, files, join(folder, "gone"));
    expect(result).toMatchObject({ bytesSent: 3_100_000 });
    expect(told.unresumable.length).toBe(1);
  });
});

describe("to an origin of ours", () => {
  it("the index goes first, and the published version is told", async () => {
    const { server, url, files, folder, pack } = await setUp();
    makeOrigin(server, [
      { state: "checking" },
      { state: "waiting", reason: "for space" },
      { state: "published", version: 2 },
    ]);
    const { result, told } = await upload(url, files, folder);
    expect(result).toEqual({
      bytesTotal: 3_050_000,
      bytesSent: 3_050_000,
      bytesSpared: 0,
      publishedVersion: 2,
    });
    expect([...server.files.keys()]).toEqual([INDEX, PACK]);
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
    expect(told.waiting).toEqual(["for space"]);
    expect(told.progress.at(-1)).toEqual({
      phase: "publishing",
      bytesDone: 3_050_000,
      bytesTotal: 3_050_000,
      bytesSent: 3_050_000,
    });
  });

  it("only the runs go that it lacks, after the pack's header", async () => {
    const { server, url, files, folder, pack } = await setUp();
    makeOrigin(server);
    server.behaviour.kept = {
      file: pack,
      missing: [
        [100_000, 150_000],
        [2_000_000, 2_400_000],
      ],
    };
    const { result } = await upload(url, files, folder);
    const needed = 50_000 + 64 + 50_001 + 400_001;
    expect(result).toMatchObject({ bytesSent: needed, bytesSpared: 3_050_000 - needed, publishedVersion: 2 });
    expect(server.ranges.slice(1, 3)).toEqual(["bytes 0-63/3000000", "bytes 100000-150000/3000000"]);
    expect(server.files.get(PACK)?.equals(pack)).toBe(true);
  });

  it("a refusal is told with its code and reason", async () => {
    const { server, url, files, folder } = await setUp();
    makeOrigin(server, [{ state: "refused", code: "ERR_PACK_INVALID", reason: "frame 7 is damaged" }]);
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({
      code: "ERR_PACK_INVALID",
      message: expect.stringContaining("frame 7 is damaged"),
    });
  });

  it("a refusal of the close is told with its reason", async () => {
    const { server, url, files, folder } = await setUp();
    let id = "";
    server.behaviour.answer = (packet, { headers }) => {
      if (packet !== "Close-Session") return undefined;
      id = (headers["bits-session-id"] ?? "").slice(1, -1).toLowerCase();
      return reply(403, [
        "BITS-Packet-Type: Ack",
        "BITS-Error-Code: 0x80070005",
        "Ckmesh-Error: ERR_SIGNATURE_INVALID",
      ]);
    };
    const refused = { state: "refused", code: "ERR_SIGNATURE_INVALID", reason: "signed by nobody" };
    server.behaviour.uploads = () => ({ uploads: id === "" ? [] : [{ id, ...refused }] });
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
      message: expect.stringContaining("signed by nobody"),
    });
  });

  it("that publishes nothing for a minute without a reason, is not waited for", async () => {
    const { server, url, files, folder } = await setUp();
    makeOrigin(server, [{ state: "waiting", reason: "for space" }]);
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({
      code: "ERR_UPLOAD_REFUSED",
      message: expect.stringContaining("for space"),
    });
  });

  it("that has both files already, sends nothing and waits", async () => {
    const { server, url, files, folder } = await setUp();
    makeOrigin(server, [{ state: "waiting" }]);
    await upload(url, files, folder);
    const before = server.packets.length;
    const { uploads } = server.behaviour;
    server.behaviour.uploads = () => {
      const text = JSON.stringify(uploads?.()).replaceAll('"waiting"', '"published","version":2');
      return JSON.parse(text);
    };
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ bytesSent: 0, publishedVersion: 2 });
    expect(server.packets.length).toBe(before);
  });

  it("that has published the same version, sends nothing", async () => {
    const { server, url, files, folder } = await setUp();
    makeOrigin(server);
    server.behaviour.versions = { 1: "cd".repeat(32), 2: "AB".repeat(32) };
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({ bytesSent: 0, publishedVersion: 2 });
    expect(server.packets).toEqual([]);
  });

  it("that has another version of this number, is told the next free one", async () => {
    const { server, url, files, folder } = await setUp();
    makeOrigin(server);
    server.behaviour.versions = { 2: "cd".repeat(32) };
    server.behaviour.answer = (packet) =>
      packet === "Create-Session"
        ? reply(403, [
            "BITS-Packet-Type: Ack",
            "BITS-Error-Code: 0x80070005",
            "Ckmesh-Error: ERR_IMAGE_EXISTS",
          ])
        : undefined;
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({
      code: "ERR_IMAGE_EXISTS",
      message: expect.stringContaining("--version 7"),
    });
  });

  it("that forbids uploads to this account, gets none", async () => {
    const { server, url, files, folder } = await setUp();
    server.behaviour.answer = () => reply(403, [], '{"code":"ERR_AUTH_FORBIDDEN","message":"no"}');
    const { result } = await upload(url, files, folder);
    expect(result).toMatchObject({
      code: "ERR_AUTH_FORBIDDEN",
      message: expect.stringContaining("no right to upload"),
    });
    expect(server.packets).toEqual([]);
  });
});

describe("a rate limit", () => {
  it("is kept", async () => {
    const { url, files } = await setUp(2_000_000);
    const start = fastClock.now();
    const pacer = new UploadPacer(100_000, fastClock);
    const { result } = await upload(url, files, undefined, { pacer });
    expect(result).toMatchObject({ bytesSent: 2_100_000 });
    const seconds = (fastClock.now() - start) / 1000;
    expect(2_100_000 / seconds).toBeLessThanOrEqual(110_000);
  });
});
