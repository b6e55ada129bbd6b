import { createServer, type IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer as createTcpServer } from "node:net";
import { describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { OriginCalls } from "../src/origin/origin-calls.js";
import { proxyFor } from "../src/origin/proxy.js";
import { TrackerConnection } from "../src/tracker-connection.js";
import { LogonServer, PASSWORD, USER } from "./logon-server.js";
import { client, closers, content, fetchPart, serveFile, start } from "./origin-fixtures.js";
import { testCertificate } from "./test-certificate.js";
import { realClock } from "./test-clock.js";

/** A proxy as companies have them: CONNECT for TLS, absolute URLs for the rest. */
async function startProxy(credentials?: string) {
  const seen: string[] = [];
  const isAllowed = ({ headers }: IncomingMessage): boolean =>
    credentials === undefined ||
    headers["proxy-authorization"] === `Basic ${Buffer.from(credentials).toString("base64")}`;
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (!isAllowed(request)) response.writeHead(407, { "proxy-authenticate": "Basic" }).end();
    else serveFile(request, response);
  });
  server.on("connect", (request: IncomingMessage, socket) => {
    seen.push(`CONNECT ${request.url}`);
    if (!isAllowed(request)) {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const [host = "", port = ""] = (request.url ?? "").split(":");
    const target = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      target.pipe(socket).pipe(target);
    });
    for (const each of [target, socket]) {
      each.on("error", () => each.destroy());
      closers.push(() => each.destroy());
    }
  });
  const base = await start(server);
  return { url: new URL(base).origin, seen };
}

describe("a proxy", () => {
  it("is asked for a tunnel to an origin over TLS, and sees nothing of what goes through", async () => {
    const proxy = await startProxy("bob:secret");
    const base = await start(createHttpsServer(testCertificate, serveFile), "https");
    const origin = client(base, {
      ca: testCertificate.cert,
      proxy: { url: proxy.url, credentials: "bob:secret", bypass: [] },
    });
    const { bytes, err } = await fetchPart(origin, 1000, 70_000);
    expect(err).toBeUndefined();
    expect(bytes.equals(content.subarray(1000, 70_001))).toBe(true);
    expect(proxy.seen).toEqual([`CONNECT ${new URL(base).host}`]);
  });

  it("passes on calls with bodies: in a tunnel over TLS, else by absolute URL", async () => {
    const proxy = await startProxy();
    const base = await start(createHttpsServer(testCertificate, serveFile), "https");
    const call = {
      method: "PUT",
      path: "/MEDVImages/a.ckm",
      body: {
        length: 5,
        async *read() {
          yield Buffer.from("hello");
        },
      },
    };
    for (const baseUrl of [base, "http://images.example/MEDVImages"]) {
      const proxied = { url: proxy.url, bypass: [] };
      const calls = new OriginCalls({ baseUrl, ca: testCertificate.cert, proxy: proxied, clock: realClock });
      closers.push(() => calls.close());
      expect((await calls.send(call)).status).toBe(200);
    }
    expect(proxy.seen).toEqual([
      `CONNECT ${new URL(base).host}`,
      "PUT http://images.example/MEDVImages/a.ckm",
    ]);
  });

  it("carries an NTLM logon with its channel binding in the tunnel", async () => {
    const proxy = await startProxy();
    const server = await LogonServer.start({
      schemes: ["ntlm"],
      isTls: true,
      protection: { tokenChecking: "Require", spns: [] },
    });
    const origin = client(server.url, {
      credentials: { user: USER, password: PASSWORD },
      ntlm: true,
      ca: testCertificate.cert,
      proxy: { url: proxy.url, bypass: [] },
      maxConnections: 1,
    });
    for (let i = 0; i < 3; i += 1) expect((await fetchPart(origin, 0, 9)).err).toBeUndefined();
    expect(server.seen).toEqual(["-", "NTLM 1", "NTLM 3", "-", "-"]);
  });

  it("carries the link to the tracker, over TLS", async () => {
    const proxy = await startProxy();
    const server = createHttpsServer(testCertificate);
    const sockets = new WebSocketServer({ server });
    closers.push(() => sockets.close());
    sockets.on("connection", (socket) => socket.send(Uint8Array.of(0xc0)));
    const base = await start(server, "wss");
    const reason = await new Promise<string>((resolve) => {
      const connection = new TrackerConnection({
        url: base,
        ca: testCertificate.cert,
        proxy: { url: proxy.url, bypass: [] },
        clock: realClock,
        onMessage: () => {},
        onLost: resolve,
      });
      closers.push(() => connection.close());
    });
    // It came through: what the server says is no message of a tracker.
    expect(reason).toContain("invalid message");
    expect(proxy.seen).toEqual([`CONNECT ${new URL(base).host}`]);
  });

  it("that lets nobody through is named by the link to the tracker", async () => {
    const proxy = await startProxy("bob:secret");
    const reason = await new Promise<string>((resolve) => {
      const connection = new TrackerConnection({
        url: "wss://127.0.0.1:1/",
        proxy: { url: proxy.url, bypass: [] },
        clock: realClock,
        onMessage: () => {},
        onLost: resolve,
      });
      closers.push(() => connection.close());
    });
    expect(reason).toContain("proxyCredentialsFile");
  });

  it("gets whole URLs for an origin over plain http", async () => {
    const proxy = await startProxy();
    const origin = client("http://images.invalid/MEDVImages", { proxy: { url: proxy.url, bypass: [] } });
    expect((await fetchPart(origin, 0, 9)).err).toBeUndefined();
    expect(proxy.seen).toEqual(["GET http://images.invalid/MEDVImages/a.ckm"]);
  });

  it.each(["https", "http"] as const)(
    "that refuses the credentials is named as such, for %s",
    async (scheme) => {
      const proxy = await startProxy("bob:secret");
      const origin = client(`${scheme}://127.0.0.1:1/MEDVImages`, {
        proxy: { url: proxy.url, credentials: "bob:wrong", bypass: [] },
      });
      const { err } = await fetchPart(origin, 0, 9);
      expect(err).toMatchObject({
        code: "ERR_ORIGIN_UNREACHABLE",
        message: expect.stringContaining("proxyCredentialsFile"),
      });
    },
  );

  it("that speaks no HTTP, or closes at once, makes the origin unreachable", async () => {
    for (const greeting of ["SSH-2.0-x\r\n\r\n", "", "x".repeat(20_000)]) {
      const tcp = createTcpServer((socket) => socket.on("error", () => {}).end(greeting));
      await new Promise<void>((resolve) => {
        tcp.listen(0, "127.0.0.1", resolve);
      });
      closers.push(() => tcp.close());
      const address = tcp.address();
      const port = typeof address === "object" ? address?.port : 0;
      const origin = client("https://127.0.0.1:1/x", {
        proxy: { url: `http://127.0.0.1:${port}`, bypass: [] },
      });
      expect((await fetchPart(origin, 0, 9)).err?.code).toBe("ERR_ORIGIN_UNREACHABLE");
    }
  });

  it("that never answers is given up in time", async () => {
    const tcp = createTcpServer((socket) => {
      closers.push(() => socket.destroy());
    });
    await new Promise<void>((resolve) => {
      tcp.listen(0, "127.0.0.1", resolve);
    });
    closers.push(() => tcp.close());
    const address = tcp.address();
    const port = typeof address === "object" ? address?.port : 0;
    const origin = client("https://127.0.0.1:1/x", {
      proxy: { url: `http://127.0.0.1:${port}`, bypass: [] },
      connectTimeoutMs: 100,
    });
    expect((await fetchPart(origin, 0, 9)).err?.code).toBe("ERR_TIMEOUT");
  });

  it("that strips Range is put up with, and named once", async () => {
    const warnings: string[] = [];
    const base = await start(
      createServer((request, response) => {
        delete request.headers.range;
        serveFile(request, response);
      }),
    );
    const logger = {
      debug() {},
      info() {},
      warn: (_: object, message: string) => warnings.push(message),
      error() {},
      child: () => logger,
    };
    const origin = client(base, { logger });
    for (let i = 0; i < 2; i += 1) {
      const { bytes, err } = await fetchPart(origin, 1000, 1999);
      expect(err).toBeUndefined();
      expect(bytes.equals(content.subarray(1000, 2000))).toBe(true);
    }
    expect(warnings).toEqual([expect.stringContaining("ignores ranges")]);
  });
});

describe("the bypass list", () => {
  const proxy = {
    url: "http://proxy:3128",
    bypass: ["images.lan", ".corp.example", "*.dmz.example", "10.0.0.0/8", "::1"],
  };

  it.each([
    ["images.lan", true],
    ["IMAGES.LAN", true],
    ["other.lan", false],
    ["a.corp.example", true],
    ["corp.example", false],
    ["b.a.dmz.example", true],
    ["10.1.2.3", true],
    ["11.1.2.3", false],
    ["[::1]", true],
  ])("%s is reached directly: %s", (host, isDirect) => {
    expect(proxyFor(host, proxy) === undefined).toBe(isDirect);
  });

  it.each([
    { url: "https://proxy:1", bypass: [] },
    { url: "http://u:p@proxy:1", bypass: [] },
    { url: "proxy:1", bypass: [] },
    { url: "http://proxy:1", bypass: ["a b"] },
    { url: "http://proxy:1", bypass: [], credentials: "nocolon" },
  ])("refuses %j", (settings) => {
    expect(() => proxyFor("host", settings)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }));
  });
});
