import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { describe, expect, it } from "vitest";
import {
  client,
  closers,
  content,
  ETAG,
  fetchPart,
  type Handler,
  serve,
  serveFile,
  start,
} from "./origin-fixtures.js";

const PART = { "content-range": `bytes 0-99/${content.length}`, "content-length": "100" };

describe("an origin that answers wrongly", () => {
  it.each<readonly [string, Handler, string]>([
    [
      "401",
      (_, r) => r.writeHead(401, { "www-authenticate": 'Basic realm="MEDV"' }).end(),
      "ERR_AUTH_REQUIRED",
    ],
    ["403", (_, r) => r.writeHead(403).end("no"), "ERR_AUTH_FORBIDDEN"],
    ["404", (_, r) => r.writeHead(404).end("<h1>no</h1>"), "ERR_IMAGE_NOT_FOUND"],
    ["412", (_, r) => r.writeHead(412).end(), "ERR_ORIGIN_CHANGED"],
    ["416", (_, r) => r.writeHead(416, { "content-range": "bytes */5" }).end(), "ERR_ORIGIN_INVALID"],
    ["400", (_, r) => r.writeHead(400).end(), "ERR_ORIGIN_INVALID"],
    ["500", (_, r) => r.writeHead(500).end("oops"), "ERR_ORIGIN_UNREACHABLE"],
    ["503", (_, r) => r.writeHead(503).end(), "ERR_ORIGIN_UNREACHABLE"],
    ["503 + Retry-After", (_, r) => r.writeHead(503, { "retry-after": "7" }).end(), "ERR_RATE_LIMITED"],
    ["429", (_, r) => r.writeHead(429).end(), "ERR_RATE_LIMITED"],
    ["302", (_, r) => r.writeHead(302, { location: "http://evil.example/x" }).end(), "ERR_ORIGIN_INVALID"],
    ["304 to a range", (_, r) => r.writeHead(304).end(), "ERR_ORIGIN_INVALID"],
    [
      "206 without Content-Range",
      (_, r) => r.writeHead(206).end(content.subarray(0, 100)),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "206 of another range",
      (_, r) => r.writeHead(206, { "content-range": "bytes 1-100/300000" }).end(content.subarray(1, 101)),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "206 of a shorter range",
      (_, r) => r.writeHead(206, { "content-range": "bytes 0-49/300000" }).end(content.subarray(0, 50)),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "a multipart answer",
      (_, r) => r.writeHead(206, { "content-type": "multipart/byteranges; boundary=x" }).end("--x--"),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "a body shorter than its range",
      (_, r) => r.writeHead(206, { "content-range": PART["content-range"] }).end(content.subarray(0, 60)),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "a body longer than its range",
      (_, r) => r.writeHead(206, { "content-range": PART["content-range"] }).end(content.subarray(0, 160)),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "200 with a shorter file",
      (_, r) => r.writeHead(200, { "content-length": "50" }).end(content.subarray(0, 50)),
      "ERR_ORIGIN_INVALID",
    ],
    ["200 that ends early", (_, r) => r.writeHead(200).end(content.subarray(0, 50)), "ERR_ORIGIN_INVALID"],
    [
      "another entity tag",
      (_, r) => r.writeHead(206, { ...PART, etag: '"v2"' }).end(content.subarray(0, 100)),
      "ERR_ORIGIN_CHANGED",
    ],
    [
      "a compressed body",
      (_, r) => r.writeHead(206, { ...PART, "content-encoding": "gzip" }).end(content.subarray(0, 100)),
      "ERR_ORIGIN_INVALID",
    ],
    [
      "a connection that breaks in the middle",
      (_, r) => {
        r.writeHead(206, PART).write(content.subarray(0, 60), () => r.destroy());
      },
      "ERR_ORIGIN_UNREACHABLE",
    ],
    ["a reset before the head", (q) => q.socket.destroy(), "ERR_ORIGIN_UNREACHABLE"],
  ])("%s", async (_, handler, code) => {
    const origin = await serve(handler);
    const { bytes, err } = await fetchPart(origin, 0, 99, { etag: ETAG });
    expect(err?.code).toBe(code);
    // What came is a good prefix, or nothing.
    expect(content.subarray(0, bytes.length).equals(bytes)).toBe(true);
  });

  it("names the target of a redirect, and never asks it", async () => {
    let asked = 0;
    const evil = await start(
      createServer((_, response) => {
        asked += 1;
        response.end();
      }),
    );
    const origin = await serve((_, response) => {
      response.writeHead(301, { location: evil }).end();
    });
    const { err } = await fetchPart(origin, 0, 9);
    expect(err?.message).toContain(evil);
    expect(asked).toBe(0);
  });

  it("gives the pause that Retry-After asks for, as seconds, as a date, and never above an hour", async () => {
    const answers = ["7", new Date(Date.now() + 60_000).toUTCString(), "999999999"];
    const origin = await serve((_, response) => {
      response.writeHead(429, { "retry-after": answers.shift() }).end();
    });
    const pauses: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      const { err } = await fetchPart(origin, 0, 9);
      pauses.push(Number(err?.details["retryMs"]));
    }
    expect(pauses[0]).toBe(7000);
    expect(pauses[1]).toBeGreaterThan(50_000);
    expect(pauses[1]).toBeLessThanOrEqual(60_000);
    expect(pauses[2]).toBe(3_600_000);
  });

  it("is left when it sends no head, or stops in the body, or speaks no HTTP", async () => {
    const limits = { headTimeoutMs: 100, bodyTimeoutMs: 100 };
    const mute = await serve(() => {}, limits);
    expect((await fetchPart(mute, 0, 9)).err?.code).toBe("ERR_TIMEOUT");
    const stalled = await serve((_, response) => {
      response.writeHead(206, PART).write(content.subarray(0, 60));
    }, limits);
    const { bytes, err } = await fetchPart(stalled, 0, 99);
    expect(err?.code).toBe("ERR_TIMEOUT");
    expect(bytes.equals(content.subarray(0, 60))).toBe(true);
    const tcp = createTcpServer((socket) => socket.on("error", () => {}).end("SSH-2.0-x\r\n"));
    await new Promise<void>((resolve) => {
      tcp.listen(0, "127.0.0.1", resolve);
    });
    closers.push(() => tcp.close());
    const address = tcp.address();
    const port = typeof address === "object" ? address?.port : 0;
    const strange = client(`http://127.0.0.1:${port}/MEDVImages`);
    expect((await fetchPart(strange, 0, 9)).err?.code).toBe("ERR_ORIGIN_INVALID");
  });

  it("that is not there is unreachable", async () => {
    const base = await start(createServer());
    await closers.pop()?.();
    expect((await fetchPart(client(base), 0, 9)).err?.code).toBe("ERR_ORIGIN_UNREACHABLE");
  });

  it("gets one request at a time after a failure until data flows again", async () => {
    let busy = 0;
    let most = 0;
    let isBroken = true;
    const waiting: (() => void)[] = [];
    const origin = await serve((request, response) => {
      busy += 1;
      most = Math.max(most, busy);
      const answer = (): void => {
        busy -= 1;
        if (isBroken) response.writeHead(500).end();
        else serveFile(request, response);
      };
      // The last six are answered when all of them are there.
      if (isBroken || most === 1) setImmediate(answer);
      else if (waiting.push(answer) === 6) for (const each of waiting) each();
    });
    await fetchPart(origin, 0, 9);
    await Promise.all(Array.from({ length: 6 }, () => fetchPart(origin, 0, 9)));
    expect(most).toBe(1);
    isBroken = false;
    await fetchPart(origin, 0, 9);
    most = 2;
    await Promise.all(Array.from({ length: 6 }, () => fetchPart(origin, 0, 9)));
    expect(most).toBe(6);
  });
});

it("ends a head or a catalogue that comes a byte at a time with ERR_TIMEOUT", async () => {
  const origin = await serve(
    (_, response) => {
      response.writeHead(200, { "content-length": "4096" });
      const timer = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(timer));
    },
    { answerTimeoutMs: 200 },
  );
  await expect(origin.fetchHead("a.ckm.index")).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
  await expect(origin.fetchJson("/ckmesh/catalogue")).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
});
