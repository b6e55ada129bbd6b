import { createHash, randomFillSync } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import type { BitsHandler } from "../../src/bits/bits-request.js";
import { settled } from "../origin-fixture.js";
import { openBitsListener } from "./bits-fixture.js";
import { get, packet, RawClient, TARGET } from "./raw-client.js";

const HEALTH = get("/healthz");

/** Reads all, and says how much it was and what. */
const digest: BitsHandler = async (request) => {
  const hash = createHash("sha256");
  let size = 0;
  for (let chunk = await request.read(); chunk !== undefined; chunk = await request.read()) {
    hash.update(chunk);
    size += chunk.length;
  }
  return {
    status: 200,
    headers: { "BITS-Packet-Type": "Ack", "X-Size": String(size), "X-Sha": hash.digest("hex") },
  };
};

/** Says which request it was. */
const echo: BitsHandler = async ({ target }) => ({ status: 200, headers: { "X-Target": target } });

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe.each(["http", "https"] as const)("BITS_POST over %s", (scheme) => {
  it("is answered as the first request of a connection, and as the next ones", async () => {
    const { url } = await openBitsListener(echo, { scheme });
    const client = await RawClient.open(url);
    for (const target of ["/a", "/b", "/c"]) {
      const answer = await client.ask(packet([], target));
      expect([answer?.status, answer?.headers.get("x-target")]).toEqual([200, [target]]);
    }
  });

  it("shares a connection with other methods, in any order", async () => {
    const { url } = await openBitsListener(echo, { scheme });
    const client = await RawClient.open(url);
    for (let round = 0; round < 20; round += 1) {
      expect((await client.ask(HEALTH))?.body).toBe('{"status":"ok"}');
      expect((await client.ask(HEALTH))?.status).toBe(200);
      expect((await client.ask(packet([], "/x")))?.headers.get("x-target")).toEqual(["/x"]);
      expect((await client.ask(packet([], "/y")))?.headers.get("x-target")).toEqual(["/y"]);
    }
    const refused = await client.ask(
      `POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nBITS_POST`,
    );
    expect(refused?.status).toBe(405);
  });

  it("leaves nothing at a connection that changes hands often", async () => {
    const sockets: Socket[] = [];
    const { url } = await openBitsListener(
      async ({ socket }) => {
        sockets.push(socket);
        return { status: 200, headers: {} };
      },
      { scheme },
    );
    const client = await RawClient.open(url);
    const listeners: (readonly (readonly [string, number])[])[] = [];
    for (let round = 0; round < 50; round += 1) {
      expect((await client.ask(packet()))?.status).toBe(200);
      expect((await client.ask(HEALTH))?.status).toBe(200);
      const [socket] = sockets;
      listeners.push(socket?.eventNames().map((name) => [String(name), socket.listenerCount(name)]) ?? []);
    }
    expect(new Set(sockets).size).toBe(1);
    expect(listeners.at(-1)).toEqual(listeners[0]);
  });

  it("is answered behind a GET that was sent ahead and takes its time", async () => {
    const slow = new EventEmitter();
    const metricsText = async (): Promise<string> => {
      slow.emit("asked");
      await once(slow, "ready");
      return "m".repeat(3_000_000);
    };
    const { url } = await openBitsListener(echo, { scheme, metricsText });
    const client = await RawClient.open(url);
    const asked = once(slow, "asked");
    await client.write(get("/metrics") + HEALTH + packet([], "/late") + HEALTH);
    await asked;
    slow.emit("ready");
    expect((await client.next())?.body).toHaveLength(3_000_000);
    expect((await client.next())?.body).toBe('{"status":"ok"}');
    expect((await client.next())?.headers.get("x-target")).toEqual(["/late"]);
    expect((await client.next())?.body).toBe('{"status":"ok"}');
  });

  it("is answered in order when many requests of both kinds come in one write", async () => {
    const { url } = await openBitsListener(digest, { scheme });
    const client = await RawClient.open(url);
    const rounds = Array.from(
      { length: 10 },
      (_, i) => `${packet([`Content-Length: ${i}`])}${"b".repeat(i)}`,
    );
    await client.write(rounds.map((round) => round + HEALTH).join(""));
    for (const i of rounds.keys()) {
      expect((await client.next())?.headers.get("x-size")).toEqual([String(i)]);
      expect((await client.next())?.body).toBe('{"status":"ok"}');
    }
  });

  it("may come in any pieces", async () => {
    const { url } = await openBitsListener(digest, { scheme });
    const body = "body of 20 bytes....";
    const whole = `${packet([`Content-Length: ${body.length}`])}${body}`;
    for (let cut = 1; cut < whole.length; cut += 1) {
      const client = await RawClient.open(url);
      const answer = client.next();
      await client.write(whole.slice(0, cut));
      await turn();
      await client.write(whole.slice(cut));
      expect((await answer)?.headers.get("x-sha")).toEqual([sha256(Buffer.from(body))]);
      client.socket.destroy();
    }
  });

  it("may come byte by byte, also behind another method on a kept connection", async () => {
    const { url } = await openBitsListener(digest, { scheme });
    const client = await RawClient.open(url);
    for (let round = 0; round < 2; round += 1) {
      expect((await client.ask(HEALTH))?.status).toBe(200);
      const answer = client.next();
      for (const byte of packet()) {
        await client.write(byte);
        await turn();
      }
      expect((await answer)?.headers.get("x-size")).toEqual(["0"]);
    }
  });

  it("has a body of 13 MiB, which comes to the handler whole", async () => {
    const { url } = await openBitsListener(digest, { scheme });
    const client = await RawClient.open(url);
    const body = randomFillSync(Buffer.alloc(13 * 1024 * 1024));
    await client.write(packet([`Content-Length: ${body.length}`]));
    const answer = await client.ask(body);
    expect(answer?.headers.get("x-sha")).toEqual([sha256(body)]);
    expect((await client.ask(HEALTH))?.status).toBe(200);
  });

  it("leaves with the sender what the handler does not ask for", async () => {
    const gate = new EventEmitter();
    let bytesRead = 0;
    const slow: BitsHandler = async (request, entrance) => {
      const timer = setInterval(() => (bytesRead = request.socket.bytesRead), 5);
      await once(gate, "open");
      clearInterval(timer);
      return digest(request, entrance);
    };
    const { url } = await openBitsListener(slow, { scheme });
    const client = await RawClient.open(url);
    const body = randomFillSync(Buffer.alloc(64 * 1024 * 1024));
    const answer = client.ask(Buffer.concat([Buffer.from(packet([`Content-Length: ${body.length}`])), body]));
    // As much as fits in the buffers of the operating system is on its way when nothing moves any more.
    await settled(() => bytesRead);
    expect(bytesRead).toBeLessThan(512 * 1024);
    gate.emit("open");
    expect((await answer)?.headers.get("x-sha")).toEqual([sha256(body)]);
  });

  it("has no verbs beside it that look alike", async () => {
    const { url } = await openBitsListener(echo, { scheme });
    for (const verb of ["BITS_PUT", "BITS", "bits_post", "BITS_POSTS", "ITS_POST", "TS_POST"]) {
      const client = await RawClient.open(url);
      const answer = await client.ask(`${verb} ${TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
      expect([verb, answer?.status]).toEqual([verb, 400]);
      expect(await client.next()).toBeUndefined();
    }
  });
});

/** Lets the other side read what was written by itself. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
