import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Socket } from "node:net";
import { AppError } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import type { RequestBody } from "../src/origin/lane.js";
import { type OriginCall, OriginCalls } from "../src/origin/origin-calls.js";
import type { OriginLinkOptions } from "../src/origin/origin-link.js";
import { LogonServer, type LogonServerOptions, PASSWORD, USER } from "./logon-server.js";
import { closers, start } from "./origin-fixtures.js";
import { testCertificate } from "./test-certificate.js";
import { realClock } from "./test-clock.js";

const PART = Buffer.alloc(50_000, 0x61);
const OPENER = { method: "PUT", headers: { "x-packet": "ping" } };

/** `parts` times 50,000 bytes; counts how many were taken. */
function bodyOf(parts: number): RequestBody & { readonly taken: number } {
  let taken = 0;
  return {
    length: parts * PART.length,
    get taken() {
      return taken;
    },
    async *read() {
      for (let i = 0; i < parts; i += 1) {
        taken += 1;
        yield PART;
      }
    },
  };
}

function callsTo(baseUrl: string, options: Partial<OriginLinkOptions> = {}): OriginCalls {
  const calls = new OriginCalls({ baseUrl, clock: realClock, ...options });
  closers.push(() => calls.close());
  return calls;
}

/** A part of an upload. */
function put(parts: number, more: Partial<OriginCall> = {}): OriginCall {
  return { method: "PUT", path: "/MEDVImages/a.ckm", body: bodyOf(parts), opener: OPENER, ...more };
}

/** Answers with the length of the body. */
function count(request: IncomingMessage, response: ServerResponse): void {
  let length = 0;
  request.on("data", (part: Buffer) => {
    length += part.length;
  });
  request.on("end", () => response.end(String(length)));
}

/** A server that says of each request how it was logged on and how long its body was to be. */
async function logonServer(options: LogonServerOptions, settings: Partial<OriginLinkOptions>) {
  const lengths: number[] = [];
  const server = await LogonServer.start({
    serve: count,
    ...options,
    before(request, response) {
      lengths.push(Number(request.headers["content-length"]));
      return options.before?.(request, response) ?? false;
    },
  });
  const calls = callsTo(server.url.replace("127.0.0.1", "localhost"), {
    credentials: { user: USER, password: PASSWORD },
    ca: testCertificate.cert,
    ...settings,
  });
  const requests = () => server.seen.map((seen, at) => `${seen}: ${lengths[at]}`);
  return { server, calls, requests };
}

describe("a call", () => {
  it("carries its method and Content-Length: 0, whatever the method", async () => {
    const heads: string[] = [];
    const server = createServer((socket) => {
      socket.on("data", (part: Buffer) => {
        heads.push(part.toString("latin1"));
        socket.write("HTTP/1.1 200 OK\r\nBITS-Packet-Type: Ack\r\nContent-Length: 0\r\n\r\n");
      });
    });
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => sockets.add(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("unreachable: no port");
    const calls = callsTo(`http://127.0.0.1:${address.port}/MEDVImages`);
    const call = { method: "BITS_POST", path: "/MEDVImages/a.ckm", headers: { "BITS-Packet-Type": "Ping" } };
    const answer = await calls.send(call);
    await calls.send(call);
    expect(answer.status).toBe(200);
    expect(answer.headers("bits-packet-type")).toEqual(["Ack"]);
    expect(heads[0]).toMatch(/^BITS_POST \/MEDVImages\/a\.ckm HTTP\/1\.1\r\n/);
    expect(heads[0]?.match(/^content-length: .*$/gim)).toEqual(["content-length: 0"]);
    expect(heads[0]).toMatch(/^Connection: keep-alive$/im);
    expect(sockets.size).toBe(1);
  });

  it("gives answers of any status with their body", async () => {
    const calls = callsTo(
      await start(createHttpServer((_, response) => response.writeHead(409).end('{"code":"ERR_X"}'))),
    );
    const { status, bytes } = await calls.send({ method: "DELETE", path: "/ckmesh/api/images/a" });
    expect([status, Buffer.from(bytes).toString()]).toEqual([409, '{"code":"ERR_X"}']);
  });

  it("streams a body, and the connection stays", async () => {
    const sockets = new Set<Socket>();
    const server = createHttpServer(count);
    server.on("connection", (socket: Socket) => sockets.add(socket));
    const calls = callsTo(await start(server));
    for (let i = 0; i < 3; i += 1) {
      const { bytes } = await calls.send(put(40));
      expect(Buffer.from(bytes).toString()).toBe("2000000");
    }
    expect(sockets.size).toBe(1);
  });

  it("ends with an answer that comes before the end of its body, and the next one gets a new connection", async () => {
    let isFirst = true;
    const calls = callsTo(
      await start(
        createHttpServer((request, response) => {
          if (!isFirst) return count(request, response);
          isFirst = false;
          response.writeHead(413).end();
        }),
      ),
    );
    const body = bodyOf(100_000);
    expect((await calls.send(put(0, { body }))).status).toBe(413);
    expect(body.taken).toBeLessThan(10_000);
    expect(Buffer.from((await calls.send(put(2))).bytes).toString()).toBe("100000");
  });

  it("fails with the error of its body's source", async () => {
    const calls = callsTo(await start(createHttpServer(count)));
    const body: RequestBody = {
      length: 100_000,
      async *read() {
        yield PART;
        throw new AppError("ERR_FILE_NOT_FOUND", "the file is gone");
      },
    };
    await expect(calls.send(put(0, { body }))).rejects.toMatchObject({ code: "ERR_FILE_NOT_FOUND" });
    expect((await calls.send(put(1))).status).toBe(200);
  });

  it("fails with ERR_TIMEOUT when the server takes nothing more", async () => {
    const calls = callsTo(
      await start(
        createHttpServer(() => {
          // Neither reads nor answers.
        }),
      ),
      { headTimeoutMs: 100 },
    );
    const body = bodyOf(100_000);
    await expect(calls.send(put(0, { body }))).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    expect(body.taken).toBeLessThan(100_000);
  });

  it("fails with ERR_ABORTED in its body, and with ERR_ORIGIN_UNREACHABLE when the connection breaks there", async () => {
    const stop = new AbortController();
    let isBreaking = false;
    const calls = callsTo(
      await start(
        createHttpServer((request) => {
          request.once("data", () => (isBreaking ? request.socket.destroy() : stop.abort()));
        }),
      ),
    );
    await expect(calls.send(put(100_000, { signal: stop.signal }))).rejects.toMatchObject({
      code: "ERR_ABORTED",
    });
    isBreaking = true;
    await expect(calls.send(put(100_000))).rejects.toMatchObject({ code: "ERR_ORIGIN_UNREACHABLE" });
  });
});

describe("a logon", () => {
  it.each([["ntlm"], ["negotiate"]] as const)(
    "with NTLM by %s is done on the opener, so that no body goes in vain",
    async (scheme) => {
      const { calls, requests } = await logonServer({ schemes: [scheme], isTls: true }, { ntlm: true });
      for (let i = 0; i < 2; i += 1) expect((await calls.send(put(2))).status).toBe(200);
      const name = scheme === "ntlm" ? "NTLM" : "Negotiate";
      expect(requests()).toEqual([
        "-: 0",
        expect.stringMatching(new RegExp(`^${name}.*: 0$`)),
        expect.stringMatching(new RegExp(`^${name}.*: 0$`)),
        "-: 100000",
        "-: 100000",
      ]);
    },
  );

  it("is done again on the opener when the connection was lost between two calls", async () => {
    const { server, calls, requests } = await logonServer(
      {
        schemes: ["ntlm"],
        serve(request, response) {
          if (request.headers["content-length"] !== "0") response.shouldKeepAlive = false;
          count(request, response);
        },
      },
      { ntlm: true },
    );
    for (let i = 0; i < 2; i += 1) expect((await calls.send(put(2))).status).toBe(200);
    const upload = ["-: 0", "NTLM 1: 0", "NTLM 3: 0", "-: 100000"];
    expect(requests()).toEqual([...upload, ...upload]);
    expect(server.refusals).toBe(0);
  });

  it("with Basic goes with the opener and with the body", async () => {
    const { calls, requests } = await logonServer({ schemes: ["basic"], isTls: true }, {});
    await calls.send(put(2));
    expect(requests()).toEqual(["Basic: 0", "Basic: 100000"]);
  });

  it("with a wrong password ends at the opener", async () => {
    const { calls, requests } = await logonServer(
      { schemes: ["basic"], isTls: true },
      { credentials: { user: USER, password: "wrong" } },
    );
    await expect(calls.send(put(2))).rejects.toMatchObject({ code: "ERR_AUTH_REQUIRED" });
    expect(requests()).toEqual(["Basic: 0"]);
  });

  it("sends a ticket with each request once a server was seen to forget them: one body goes in vain", async () => {
    const token = Buffer.from("601b06062b0601050502a011300fa00d300b06092a864886f712010202", "hex");
    const kerberos = {
      accept: async () => ({ identity: { name: "MEDV\\alice", account: "alice", domain: "MEDV" } }),
    };
    const { calls, requests } = await logonServer(
      { schemes: ["negotiate"], kerberos, persistence: { authPersistNonNTLM: false } },
      { negotiate: true, tickets: { token: async () => token.toString("base64") } },
    );
    for (let i = 0; i < 2; i += 1) expect((await calls.send(put(2))).status).toBe(200);
    expect(requests()).toEqual([
      "-: 0",
      "Negotiate: 0",
      "-: 100000",
      "Negotiate: 0",
      "Negotiate: 100000",
      "Negotiate: 100000",
    ]);
  });

  it("goes with the body to a server that forgets NTLM with each request", async () => {
    const { server, calls } = await logonServer(
      { schemes: ["ntlm"], persistence: { authPersistSingleRequest: true } },
      { ntlm: true },
    );
    const { status, bytes } = await calls.send(put(2));
    expect([status, Buffer.from(bytes).toString()]).toEqual([200, "100000"]);
    expect(server.refusals).toBe(0);
  });

  it("without the right to upload ends at the opener", async () => {
    const { calls, requests } = await logonServer(
      { schemes: ["basic"], isTls: true, serve: (_, response) => response.writeHead(403).end() },
      {},
    );
    expect((await calls.send(put(2))).status).toBe(403);
    expect(requests()).toEqual(["Basic: 0"]);
  });
});
