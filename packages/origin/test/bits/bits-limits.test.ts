import { once } from "node:events";
import type { Socket } from "node:net";
import { AppError, isAppError } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import {
  ANSWER_TIMEOUT_MS,
  BITS_IDLE_MS,
  DRAIN_MS,
  HEAD_TIMEOUT_MS,
  MAX_DRAINED_BYTES,
} from "../../src/bits/bits-connection.js";
import type { BitsHandler, BitsRequest } from "../../src/bits/bits-request.js";
import { BODY_GRACE_MS, MAX_BODY_PAUSE_MS, MIN_BODY_BYTES_PER_SEC } from "../../src/bits/request-body.js";
import { eventually, settled } from "../origin-fixture.js";
import { answering, openBitsListener } from "./bits-fixture.js";
import { get, packet, RawClient } from "./raw-client.js";

const HEALTH = get("/healthz");

const ok = answering(200, { "BITS-Packet-Type": "Ack" });

/** Does not read the body of what it refuses. */
const refuse = answering(403);

const readAll: BitsHandler = async (request) => {
  let size = 0;
  for (let chunk = await request.read(); chunk !== undefined; chunk = await request.read())
    size += chunk.length;
  return { status: 200, headers: { "X-Size": String(size) } };
};

/** Shows the requests that it is given, and answers them when told. */
function held() {
  const requests: BitsRequest[] = [];
  const answers: (() => void)[] = [];
  const handler: BitsHandler = async (request) => {
    requests.push(request);
    await new Promise<void>((resolve) => answers.push(resolve));
    return { status: 200, headers: {} };
  };
  return { requests, answers, handler };
}

describe("a BITS_POST that cannot be read", () => {
  it.each([
    ["a header line without colon", packet(["nothing"]), 400],
    ["a bare line feed", "BITS_POST /a HTTP/1.1\nHost: a\n\n", 400],
    ["a head over 64 KiB", `BITS_POST /a HTTP/1.1\r\nX: ${"x".repeat(70_000)}`, 431],
    [
      "a chunked body",
      "BITS_POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      411,
    ],
    ["another version", "BITS_POST /a HTTP/1.0\r\n\r\n", 505],
    ["an unknown expectation", packet(["Expect: cake"]), 417],
  ])("for %s is answered and ends the connection", async (_what, bytes, status) => {
    const { url } = await openBitsListener(ok);
    const client = await RawClient.open(url);
    const answer = await client.ask(bytes + HEALTH);
    expect(answer?.status).toBe(status);
    expect(answer?.headers.get("bits-packet-type")).toEqual(["Ack"]);
    expect(answer?.headers.get("connection")).toEqual(["close"]);
    expect(await client.next()).toBeUndefined();
  });

  it("has E_INVALIDARG under both names of the error header", async () => {
    const { url } = await openBitsListener(ok);
    const answer = await (await RawClient.open(url)).ask(packet(["nothing"]));
    const names = ["bits-error-code", "bits-error", "bits-error-context", "content-length"];
    expect(names.map((name) => answer?.headers.get(name)?.[0])).toEqual([
      "0x80070057",
      "0x80070057",
      "0x5",
      "0",
    ]);
  });

  it("is taken without a length, and then has no body", async () => {
    const { requests, answers, handler } = held();
    const { url } = await openBitsListener(handler);
    const client = await RawClient.open(url);
    await client.write("BITS_POST /a HTTP/1.1\r\nHost: a\r\n\r\n" + HEALTH);
    await eventually(() => answers.length === 1);
    expect(requests[0]?.contentLength).toBeUndefined();
    expect(await requests[0]?.read()).toBeUndefined();
    answers[0]?.();
    expect((await client.next())?.status).toBe(200);
    expect((await client.next())?.body).toBe('{"status":"ok"}');
  });
});

describe("the body of a refused BITS_POST", () => {
  it("goes by when it is not larger than a fragment can be, and the connection stays", async () => {
    const { url } = await openBitsListener(refuse);
    const client = await RawClient.open(url);
    const body = Buffer.alloc(MAX_DRAINED_BYTES);
    const answer = client.ask(Buffer.concat([Buffer.from(packet([`Content-Length: ${body.length}`])), body]));
    expect(await answer).toMatchObject({ status: 403 });
    expect((await client.ask(packet()))?.status).toBe(403);
    expect((await client.ask(HEALTH))?.status).toBe(200);
  });

  it("ends the connection, announced, when it is larger", async () => {
    const { url } = await openBitsListener(refuse);
    const client = await RawClient.open(url);
    const answer = await client.ask(packet([`Content-Length: ${MAX_DRAINED_BYTES + 1}`]));
    expect([answer?.status, answer?.headers.get("connection")]).toEqual([403, ["close"]]);
    expect(await client.next()).toBeUndefined();
  });
});

describe("the body of a refused BITS_POST that comes slowly", () => {
  it("ends the connection when its time is over, though bytes still come", async () => {
    const clock = new VirtualClock();
    const sockets: Socket[] = [];
    const noting: BitsHandler = async (request, entrance) => {
      sockets.push(request.socket);
      return refuse(request, entrance);
    };
    const { url } = await openBitsListener(noting, { clock });
    const client = await RawClient.open(url);
    const half = DRAIN_MS / 2;
    expect(half).toBeLessThan(MAX_BODY_PAUSE_MS);
    expect((await client.ask(packet(["Content-Length: 200000"])))?.status).toBe(403);
    clock.advance(half);
    await client.write("x".repeat(100_000));
    await settled(() => sockets[0]?.bytesRead ?? 0);
    expect(client.hasEnded).toBe(false);
    clock.advance(half);
    expect(await client.next()).toBeUndefined();
  });
});

describe("Expect: 100-continue", () => {
  const head = packet(["Content-Length: 4", "Expect: 100-continue"]);

  it("is answered with 100 when the body is wanted", async () => {
    const { url } = await openBitsListener(readAll);
    const client = await RawClient.open(url);
    expect((await client.ask(head))?.status).toBe(100);
    expect((await client.ask("abcd"))?.headers.get("x-size")).toEqual(["4"]);
    expect((await client.ask(HEALTH))?.status).toBe(200);
  });

  it("is answered at once when it is not, and the connection ends: whether the body comes is unknown", async () => {
    const { url } = await openBitsListener(refuse);
    const client = await RawClient.open(url);
    const answer = await client.ask(head);
    expect([answer?.status, answer?.headers.get("connection")]).toEqual([403, ["close"]]);
    expect(await client.next()).toBeUndefined();
  });
});

describe("time", () => {
  it("ends an idle connection after three minutes, also between a GET and the next packet", async () => {
    const clock = new VirtualClock();
    const sockets: Socket[] = [];
    const noting: BitsHandler = async (request, entrance) => {
      sockets.push(request.socket);
      return ok(request, entrance);
    };
    const { url, entries } = await openBitsListener(noting, { clock });
    const client = await RawClient.open(url);
    expect((await client.ask(packet()))?.status).toBe(200);
    await eventually(() => entries.length === 1);
    clock.advance(BITS_IDLE_MS - 1);
    expect((await client.ask(packet()))?.status).toBe(200);
    expect((await client.ask(HEALTH))?.status).toBe(200);
    // Now it is Node's server that waits.
    await eventually(() => sockets[0]?.timeout === BITS_IDLE_MS);
    expect((await client.ask(packet()))?.status).toBe(200);
    await eventually(() => entries.length === 4);
    expect(sockets[2]?.timeout).toBe(0);
    clock.advance(BITS_IDLE_MS);
    expect(await client.next()).toBeUndefined();
  });

  it("is a minute for a head", async () => {
    const clock = new VirtualClock();
    const { handler, received } = shown(ok);
    const { url } = await openBitsListener(handler, { clock });
    const client = await RawClient.open(url);
    expect((await client.ask(packet()))?.status).toBe(200);
    const bytes = packet();
    await client.write(bytes.slice(0, 20));
    await received(client);
    clock.advance(HEAD_TIMEOUT_MS - 1);
    await client.write(bytes.slice(20, 25));
    await received(client);
    clock.advance(1);
    expect((await client.next())?.status).toBe(408);
    expect(await client.next()).toBeUndefined();
  });

  it("is two minutes for a pause in a body; then the connection is cut, as by a broken line", async () => {
    const clock = new VirtualClock();
    const failures: unknown[] = [];
    const noting: BitsHandler = async (request, entrance) => {
      try {
        return await readAll(request, entrance);
      } catch (err) {
        failures.push(err);
        throw err;
      }
    };
    const { handler, received } = shown(noting);
    const { url, log } = await openBitsListener(handler, { clock });
    const client = await RawClient.open(url);
    await client.write(`${packet(["Content-Length: 100000"])}${"x".repeat(40_000)}`);
    await received(client);
    clock.advance(MAX_BODY_PAUSE_MS - 1);
    expect(failures).toEqual([]);
    clock.advance(1);
    expect(await client.next()).toBeUndefined();
    expect(failures.map((err) => isAppError(err, "ERR_TIMEOUT"))).toEqual([true]);
    expect(log.filter((line) => line.includes("request failed"))).toEqual([]);
  });

  it("is a minute for a client to read an answer, and no further request is looked at before", async () => {
    const clock = new VirtualClock();
    let packets = 0;
    const { url } = await openBitsListener(
      async () => {
        packets += 1;
        return { status: 200, headers: { "X-Fill": "x".repeat(8000) } };
      },
      { clock },
    );
    const client = await RawClient.open(url);
    client.socket.pause();
    // Answers of 160 MB: more than the operating system holds for anybody.
    const count = 20_000;
    client.write(packet().repeat(count)).catch(() => undefined);
    await settled(() => packets);
    expect(packets).toBeLessThan(count);
    const before = packets;
    clock.advance(ANSWER_TIMEOUT_MS);
    client.socket.resume();
    while ((await client.next()) !== undefined);
    expect(packets).toBe(before);
  });

  it("is up for a sender that keeps below IIS's lowest rate, not for one that keeps above", async () => {
    const clock = new VirtualClock();
    const { handler, received } = shown(readAll);
    const { url } = await openBitsListener(handler, { clock });
    const sendAt = async (bytesPerStep: number): Promise<number | undefined> => {
      const stepMs = 60_000;
      const steps = (2 * BODY_GRACE_MS) / stepMs;
      const client = await RawClient.open(url);
      await client.write(packet([`Content-Length: ${bytesPerStep * steps}`]));
      const answer = client.next();
      for (let step = 0; step < steps && !client.hasEnded; step += 1) {
        await received(client);
        clock.advance(stepMs);
        await client.write("x".repeat(bytesPerStep)).catch(() => undefined);
      }
      return (await answer)?.status;
    };
    expect(await sendAt(MIN_BODY_BYTES_PER_SEC * 60)).toBe(200);
    expect(await sendAt(1000)).toBeUndefined();
  });
});

describe("a connection that breaks", () => {
  it("rejects the read under way, aborts the signal and is no failure of ours", async () => {
    const seen: unknown[] = [];
    const handler: BitsHandler = async (request, entrance) => {
      try {
        return await readAll(request, entrance);
      } catch (err) {
        if (!request.signal.aborted) await once(request.signal, "abort");
        seen.push(err);
        throw err;
      }
    };
    const { handler: showing, received } = shown(handler);
    const { url, log, entries } = await openBitsListener(showing);
    const client = await RawClient.open(url);
    await client.write(`${packet(["Content-Length: 10"])}12345`);
    await received(client);
    client.socket.resetAndDestroy();
    await eventually(() => seen.length === 1);
    expect(isAppError(seen[0], "ERR_ABORTED")).toBe(true);
    await eventually(() => entries.length === 1);
    expect(entries[0]).toMatchObject({ method: "BITS_POST", status: 499 });
    expect(log.filter((line) => line.includes("failed"))).toEqual([]);
  });

  it("that ends in the middle of a body is one", async () => {
    const seen: unknown[] = [];
    const handler: BitsHandler = async (request, entrance) =>
      readAll(request, entrance).catch((err: unknown) => {
        seen.push(err);
        throw err;
      });
    const { url } = await openBitsListener(handler);
    const client = await RawClient.open(url);
    client.socket.end(`${packet(["Content-Length: 10"])}12345`);
    expect(await client.next()).toBeUndefined();
    expect(seen.map((err) => isAppError(err, "ERR_ABORTED"))).toEqual([true]);
  });

  it("is answered still when the client has only ended its own half", async () => {
    const { url } = await openBitsListener(readAll);
    const client = await RawClient.open(url);
    client.socket.end(`${packet(["Content-Length: 5"])}12345`);
    expect((await client.next())?.headers.get("x-size")).toEqual(["5"]);
    expect(await client.next()).toBeUndefined();
  });
});

describe("a handler", () => {
  it("that fails is our fault: 500, the log says why, and the next request is answered", async () => {
    const { url, log } = await openBitsListener(async () => {
      throw new AppError("ERR_STORE_CORRUPT", "the disk is on fire");
    });
    const client = await RawClient.open(url);
    expect((await client.ask(packet()))?.status).toBe(500);
    expect(log.some((line) => line.includes("the disk is on fire"))).toBe(true);
    expect((await client.ask(HEALTH))?.status).toBe(200);
  });

  it("cannot put a line of its own into an answer", async () => {
    const split = answering(200, { "X-A": "b\r\nX-C: d" });
    const { url, log } = await openBitsListener(split);
    const client = await RawClient.open(url);
    expect(await client.ask(packet())).toBeUndefined();
    expect(log.some((line) => line.includes("upload connection failed"))).toBe(true);
  });

  it("may send a header several times, and Date and Content-Length go with it", async () => {
    const two = answering(401, { "WWW-Authenticate": ["Negotiate", "NTLM"] });
    const { url } = await openBitsListener(two);
    const answer = await (await RawClient.open(url)).ask(packet());
    expect(answer?.headers.get("www-authenticate")).toEqual(["Negotiate", "NTLM"]);
    expect(answer?.headers.get("content-length")).toEqual(["0"]);
    expect(Date.parse(answer?.headers.get("date")?.[0] ?? "")).toBeGreaterThan(1.7e12);
  });
});

/** Lets through, and shows the server's end of the connection. */
function shown(handler: BitsHandler) {
  const sockets: Socket[] = [];
  const showing: BitsHandler = async (request, entrance) => {
    if (!sockets.includes(request.socket)) sockets.push(request.socket);
    return handler(request, entrance);
  };
  /** Resolves when the server has read and looked at all that the client wrote, or has enough of it. */
  const received = (client: RawClient): Promise<void> =>
    eventually(() => client.hasEnded || sockets.at(-1)?.bytesRead === client.socket.bytesWritten);
  return { handler: showing, received };
}
