import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { hasTool } from "@ckmesh/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import { makePair } from "./make-pair.js";
import { eventually, startTestOrigin, type TestOrigin } from "./origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const PACK = "/MEDVImages/win7_1.ckm";

function openSocket(origin: TestOrigin): Promise<Socket> {
  const { hostname, port } = new URL(origin.origin.urls[0] ?? "");
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
    socket.on("error", reject);
  });
}

/** All that a socket receives until the other side ends it. */
function untilEnd(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
  });
}

function requestLog(origin: TestOrigin): readonly string[] {
  const logs = join(origin.state, "logs");
  return (existsSync(logs) ? readdirSync(logs) : []).flatMap((file) =>
    readFileSync(join(logs, file), "utf8").trim().split("\n"),
  );
}

describe("the request log", () => {
  it("has IIS's fields, one line per request, substatus and bytes included", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    await origin.get(`${PACK}?a b`.replace(" ", "%20"), {
      range: "bytes=0-99",
      "user-agent": "curl 8 \u00e9",
      "x-ckmesh-site": "north%20%C3%A9",
      "x-ckmesh-span": "17",
    });
    await origin.get("/MEDVImages/notes.txt");
    await origin.get("/MEDVImages/none_1.ckm");
    await origin.origin.close();
    const lines = requestLog(origin);
    expect(lines.slice(0, 3)).toEqual([
      "#Software: ckmesh",
      "#Version: 1.0",
      "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken cs(X-Ckmesh-Site) cs(X-Ckmesh-Span)",
    ]);
    const [range, notServed, missing] = lines.slice(-3).map((line) => line.split(" "));
    expect(range).toHaveLength(18);
    expect(range?.slice(2, 13)).toEqual([
      "127.0.0.1",
      "GET",
      PACK,
      "a%20b",
      new URL(origin.origin.urls[0] ?? "").port,
      "-",
      "127.0.0.1",
      "curl+8+%C3%A9",
      "206",
      "0",
      "0",
    ]);
    expect(Number(range?.[13])).toBeGreaterThan(100);
    expect(range?.slice(16)).toEqual(["north+%C3%A9", "17"]);
    expect(notServed?.slice(16)).toEqual(["-", "-"]);
    expect([notServed?.slice(10, 12), missing?.slice(10, 12)]).toEqual([
      ["404", "3"],
      ["404", "0"],
    ]);
  });
});

describe("a stop", () => {
  it("lets a transfer end, answers 503 with Retry-After meanwhile, and then refuses connections", async () => {
    const large = makePair({ name: "large", version: 1, frames: 256 });
    const origin = await startTestOrigin({ pairs: [large], flags: { "limits.drainMs": 10_000 } });
    await origin.published("large", 1);
    const [slow, second] = await Promise.all([openSocket(origin), openSocket(origin)]);
    slow.write("GET /MEDVImages/large_1.ckm HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // The first bytes are there: the transfer is under way; then nothing is read for a while.
    await new Promise((resolve) => slow.once("readable", resolve));
    second.write("GET /healthz HTTP/1.1\r\nHost: x\r\n");
    await eventually(() => second.bytesWritten > 0);
    const closing = origin.origin.close();
    second.write("\r\n");
    const refused = await untilEnd(second);
    expect(refused).toMatch(/^HTTP\/1\.1 503 /);
    expect(refused).toMatch(/retry-after: 5/i);
    expect(refused).toContain("ERR_SHUTTING_DOWN");
    expect((await untilEnd(slow)).length).toBeGreaterThan(large.pack.length);
    await closing;
    await expect(openSocket(origin)).rejects.toThrow(/ECONNREFUSED/);
  }, 30_000);

  it("cuts a transfer that does not end in time, and may be asked for twice", async () => {
    const large = makePair({ name: "large", version: 1, frames: 256 });
    const origin = await startTestOrigin({ pairs: [large], flags: { "limits.drainMs": 50 } });
    await origin.published("large", 1);
    const socket = await openSocket(origin);
    socket.write("GET /MEDVImages/large_1.ckm HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => socket.once("readable", resolve));
    await Promise.all([origin.origin.close(), origin.origin.close()]);
    expect((await untilEnd(socket)).length).toBeLessThan(large.pack.length);
    expect(requestLog(origin).some((line) => line.includes("GET /MEDVImages/large_1.ckm -"))).toBe(true);
  });
});

describe("connections", () => {
  it("that send their headers too slowly are cut within 13 s", async () => {
    const origin = await startTestOrigin();
    const socket = await openSocket(origin);
    const start = performance.now();
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    expect(await untilEnd(socket)).toMatch(/^(?:HTTP\/1\.1 408 |$)/);
    expect(performance.now() - start).toBeLessThan(13_000);
  });

  it("above the limit are not taken", async () => {
    const origin = await startTestOrigin({ flags: { "limits.maxConnections": 1 } });
    const first = await openSocket(origin);
    const second = await openSocket(origin);
    second.on("error", () => {}); // Reset is as good as closed.
    expect(await untilEnd(second)).toBe("");
    first.destroy();
  });

  it("are kept for the next request", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports: (number | undefined)[] = [];
    for (const range of ["bytes=0-9", "bytes=10-19", "bytes=99999999-"]) {
      const url = new URL(PACK, origin.origin.urls[0]);
      // oxlint-disable-next-line no-await-in-loop -- one after the other on one connection
      await new Promise((resolve, reject) => {
        get(url, { agent, headers: { range } }, (response) => {
          ports.push(response.socket.localPort);
          response.resume().on("end", resolve);
        }).on("error", reject);
      });
    }
    agent.destroy();
    expect(new Set(ports).size).toBe(1);
  });

  it("that ask for a WebSocket reach whoever mounted the path, and nobody else", async () => {
    const origin = await startTestOrigin();
    origin.origin.mountUpgrade("/ckmesh/tracker", (request, socket) => {
      socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${request.url ?? ""}`);
    });
    const ask = async (path: string): Promise<string> => {
      const socket = await openSocket(origin);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
      return untilEnd(socket);
    };
    expect(await ask("/ckmesh/tracker?x=1")).toMatch(/^HTTP\/1\.1 101 [^]*\/ckmesh\/tracker\?x=1$/);
    expect(await ask("/ckmesh/other")).toMatch(/^HTTP\/1\.1 404 /);
  });
});

describe("clients that send requests ahead", () => {
  it("are answered in order", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    const socket = await openSocket(origin);
    const at = Array.from({ length: 40 }, (_, i) => i);
    const requests = at.map((i) => `GET ${PACK} HTTP/1.1\r\nHost: x\r\nRange: bytes=${i}-${i}\r\n`);
    socket.write(`${requests.join("\r\n")}Connection: close\r\n\r\n`);
    const text = await untilEnd(socket);
    expect([...text.matchAll(/Content-Range: bytes (\d+)-/g)].map((m) => Number(m[1]))).toEqual(at);
  });

  it("and read no answer hold one buffer, and are cut off when they go too far", async () => {
    const large = makePair({ name: "large", version: 1, frames: 128 });
    const origin = await startTestOrigin({ pairs: [large] });
    await origin.published("large", 1);
    const socket = await openSocket(origin);
    socket.on("error", () => {});
    const before = process.memoryUsage().arrayBuffers;
    socket.write("GET /MEDVImages/large_1.ckm HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5000));
    await untilEnd(socket);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    expect((await origin.get("/MEDVImages/large_1.ckm", {}, "HEAD")).status).toBe(200);
  });
});

describe("clients that never hang up", () => {
  it.each([
    [
      "a WebSocket that nobody offers",
      "GET /nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      404,
    ],
    ["no HTTP", "GARBAGE\r\n\r\n", 400],
  ])("are let go after %s, so that the origin can stop", async (_, request, status) => {
    const origin = await startTestOrigin();
    const { hostname, port } = new URL(origin.origin.urls[0] ?? "");
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    socket.on("error", () => {});
    onTestFinished(() => void socket.destroy());
    socket.write(request);
    const answer = await new Promise<string>((resolve) =>
      socket.once("data", (data) => resolve(String(data))),
    );
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    await origin.origin.close();
  });
});

describe("clients that ask for another protocol", () => {
  it.each([false, true])("are answered as if they had not, over TLS: %s", async (tls) => {
    const origin = await startTestOrigin({ pairs: [V1], tls });
    await origin.published("win7", 1);
    const { status, body } = await origin.get(PACK, {
      connection: "Upgrade, HTTP2-Settings",
      upgrade: "h2c",
      "http2-settings": "AAMAAABkAAQAAP__",
      range: "bytes=5-9",
    });
    expect([status, body]).toEqual([206, V1.pack.subarray(5, 10)]);
  });
});

const openCount = (path: string): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(join("/proc/self/fd", fd)) === path;
    } catch {
      return false; // The one of the listing itself.
    }
  }).length;

describe.skipIf(!existsSync("/proc/self/fd"))("descriptors", () => {
  it("stay one per file, however many transfers break off, and none when it is no longer published", async () => {
    const large = makePair({ name: "large", version: 1, frames: 128 });
    const origin = await startTestOrigin({ pairs: [large] });
    await origin.published("large", 1);
    const sockets = await Promise.all(Array.from({ length: 30 }, () => openSocket(origin)));
    for (const socket of sockets) {
      socket.write("GET /MEDVImages/large_1.ckm HTTP/1.1\r\nHost: x\r\n\r\n");
      socket.once("data", () => socket.destroy());
    }
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve))));
    const path = join(origin.root, large.packName);
    expect(openCount(path)).toBe(1);
    rmSync(path);
    await eventually(() => openCount(path) + openCount(`${path} (deleted)`) === 0);
    await eventually(async () =>
      (await origin.get("/metrics")).body.toString().includes("ckmesh_origin_requests_underway 1\n"),
    );
  });
});

describe("settings that cannot work", () => {
  it("are refused with ERR_CONFIG_INVALID and a message that names them", async () => {
    const cases = [
      [{ "virtualDirectory.physicalPath": "/does/not/exist" }, "--root"],
      [{ tlsListen: "127.0.0.1:0" }, "tlsCert"],
      [{ listen: "nonsense" }, "ADDR:PORT"],
      [{ sites: { oslo: ["10.0.0.0/99"] } }, "sites.oslo"],
      [{ "authentication.accountsFile": "/does/not/exist" }, "accounts file"],
      [{ fleetKeyFile: "/does/not/exist" }, "fleetKeyFile"],
    ] as const;
    for (const [flags, text] of cases) {
      // oxlint-disable-next-line no-await-in-loop -- each alone
      await expect(startTestOrigin({ flags })).rejects.toMatchObject({
        code: "ERR_CONFIG_INVALID",
        message: expect.stringContaining(text),
      });
    }
  });

  it("like an address in use have their own code", async () => {
    const first = await startTestOrigin();
    const { host } = new URL(first.origin.urls[0] ?? "");
    await expect(startTestOrigin({ flags: { listen: host } })).rejects.toMatchObject({
      code: "ERR_ADDRESS_IN_USE",
    });
  });
});

describe.skipIf(!hasTool("curl", ["--version"], "curl beside the origin"))("curl", () => {
  it("resumes a broken download and takes several ranges", async () => {
    const origin = await startTestOrigin({ pairs: [V1] });
    await origin.published("win7", 1);
    const url = new URL(PACK, origin.origin.urls[0]).href;
    const file = join(origin.folder, "download");
    const { spawn } = await import("node:child_process");
    const curl = (...args: string[]): Promise<string> =>
      new Promise((resolve) => {
        const child = spawn("curl", ["-sS", ...args, url]);
        const chunks: Buffer[] = [];
        child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
        child.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
      });
    await curl("-r", "0-99999", "-o", file);
    await curl("-C", "-", "-o", file);
    expect(readFileSync(file).equals(V1.pack)).toBe(true);
    expect(await curl("-r", "0-1,5-6")).toContain("Content-Range: bytes 5-6/");
  });
});
