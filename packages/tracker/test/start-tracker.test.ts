import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeMsgpack, silentLogger } from "@ckmesh/core";
import { createMetrics, systemClock } from "@ckmesh/runtime";
import { startTracker, type Tracker, type TrackerConfig } from "@ckmesh/tracker";
import { decodeFromTracker, encodeToTracker, type FromTracker, type ToTracker } from "@ckmesh/wire";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { helloOf } from "./tracker-rig.js";

const SWARM = new Uint8Array(32).fill(4);
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(
    opened
      .splice(0)
      .toReversed()
      .map((o) => o.close()),
  );
});

async function start(config: TrackerConfig = {}): Promise<Tracker> {
  const tracker = await startTracker(
    { listen: "127.0.0.1:0", open: true, ...config },
    { logger: silentLogger, metrics: await createMetrics({ processMetrics: false }), clock: systemClock },
  );
  opened.push(tracker);
  return tracker;
}

/** A bare client that keeps what it hears. */
class Bare {
  readonly socket: WebSocket;
  readonly heard: FromTracker[] = [];

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, headers });
    opened.push({ close: () => this.socket.terminate() });
    this.socket.on("error", () => {});
    this.socket.on("message", (data) => {
      if (data instanceof Uint8Array) this.heard.push(decodeFromTracker(data));
    });
  }

  say(message: ToTracker): void {
    this.socket.send(encodeToTracker(message));
  }

  /** The first message of a type that was heard or comes. */
  async hear(type: FromTracker["type"]): Promise<FromTracker> {
    for (;;) {
      const found = this.heard.find((m) => m.type === type);
      if (found !== undefined) {
        this.heard.splice(this.heard.indexOf(found), 1);
        return found;
      }
      // oxlint-disable-next-line no-await-in-loop -- waits for the next message
      await once(this.socket, "message");
    }
  }

  async join(n: number): Promise<this> {
    await this.hear("challenge");
    this.say({ ...helloOf(n), type: "hello", port: 7000 + n });
    await this.hear("welcome");
    return this;
  }
}

const urlOf = (tracker: Tracker): string => tracker.urls[0] ?? "";
const httpOf = (tracker: Tracker): string => urlOf(tracker).replace("ws:", "http:");

describe("a tracker on a port", () => {
  it("introduces two clients to each other", async () => {
    const tracker = await start();
    const [a, b] = [await new Bare(urlOf(tracker)).join(1), await new Bare(urlOf(tracker)).join(2)];
    a.say({ type: "announce", swarm: SWARM, have: 0, rows: 1 });
    expect(await a.hear("peers")).toMatchObject({ peers: [] });
    b.say({ type: "announce", swarm: SWARM, have: 0, rows: 1 });
    expect(await b.hear("peers")).toMatchObject({ peers: [{ address: "127.0.0.1", port: 7001 }] });
    expect(await a.hear("peers")).toMatchObject({ peers: [{ address: "127.0.0.1", port: 7002 }] });
    tracker.publish({ image: "xp", version: 2 });
    expect(await a.hear("published")).toEqual({ type: "published", image: "xp", version: 2 });
  });

  it("answers /healthz and /metrics, and nothing else", async () => {
    const tracker = await start();
    await new Bare(urlOf(tracker)).join(1);
    const health = await fetch(`${httpOf(tracker)}/healthz`);
    expect(await health.json()).toEqual({ ok: true, connections: 1, peers: 1, swarms: 0 });
    const metrics = await (await fetch(`${httpOf(tracker)}/metrics`)).text();
    expect(metrics).toContain("ckmesh_tracker_peers 1");
    expect(metrics).toContain('ckmesh_tracker_messages_total{type="hello"} 1');
    expect((await fetch(`${httpOf(tracker)}/etc/passwd`)).status).toBe(404);
    expect((await fetch(`${httpOf(tracker)}/healthz`, { method: "POST" })).status).toBe(405);
  });

  it("mounts on another server and takes upgrades there", async () => {
    const tracker = await startTracker(
      { open: true },
      { logger: silentLogger, metrics: await createMetrics({ processMetrics: false }), clock: systemClock },
    );
    opened.push(tracker);
    const server = createServer();
    server.on("upgrade", (req, socket, head) => tracker.handleUpgrade(req, socket, head));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    opened.push({ close: () => server.close() });
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    await new Bare(`ws://127.0.0.1:${port}/ckmesh/tracker`).join(1);
    expect(tracker.urls).toEqual([]);
    expect(tracker.status().peers).toBe(1);
  });

  it("says ERR_ADDRESS_IN_USE when the port is taken", async () => {
    const tracker = await start();
    await expect(start({ listen: new URL(urlOf(tracker)).host })).rejects.toMatchObject({
      code: "ERR_ADDRESS_IN_USE",
    });
  });

  it("closes while clients are connected, twice, and tells them", async () => {
    const tracker = await start();
    const client = await new Bare(urlOf(tracker)).join(1);
    const closed = once(client.socket, "close");
    await tracker.close();
    await tracker.close();
    expect((await closed)[0]).toBe(1001);
    await expect(fetch(`${httpOf(tracker)}/healthz`)).rejects.toThrow(/fetch failed/);
  });

  it("starts warm after a stop", async () => {
    const state = await mkdtemp(join(tmpdir(), "ckmesh-state-"));
    opened.unshift({ close: () => rm(state, { recursive: true, force: true }) });
    const first = await start({ state });
    const a = await new Bare(urlOf(first)).join(1);
    a.say({ type: "announce", swarm: SWARM, have: 0, rows: 1 });
    await a.hear("peers");
    await first.close();
    const b = await new Bare(urlOf(await start({ state }))).join(2);
    b.say({ type: "announce", swarm: SWARM, have: 0, rows: 1 });
    expect(await b.hear("peers")).toMatchObject({
      peers: [{ address: "127.0.0.1", port: 7001 }],
      complete: false,
    });
  });
});

describe("a hostile client", () => {
  it("is refused without an upgrade when it is a web page", async () => {
    const tracker = await start();
    const [err]: unknown[] = await once(
      new Bare(urlOf(tracker), { origin: "https://evil.example" }).socket,
      "error",
    );
    expect(String(err)).toContain("403");
  });

  it("is refused above the connections that one address may have, until one closes", async () => {
    const tracker = await start({
      limits: { maxConnections: 10, maxConnectionsPerAddress: 1, maxSwarmsPerPeer: 64, maxReports: 10 },
    });
    const first = await new Bare(urlOf(tracker)).join(1);
    const [err]: unknown[] = await once(new Bare(urlOf(tracker)).socket, "error");
    expect(String(err)).toContain("429");
    first.socket.close();
    await once(first.socket, "close");
    await new Bare(urlOf(tracker)).join(2);
  });

  it("is refused above all connections", async () => {
    const tracker = await start({
      limits: { maxConnections: 1, maxConnectionsPerAddress: 5, maxSwarmsPerPeer: 64, maxReports: 10 },
    });
    await new Bare(urlOf(tracker)).join(1);
    const [err]: unknown[] = await once(new Bare(urlOf(tracker)).socket, "error");
    expect(String(err)).toContain("503");
  });

  it.each([
    ["random bytes", (s: WebSocket) => s.send(new Uint8Array([0xc1, 0, 1]))],
    ["a text message", (s: WebSocket) => s.send("hello")],
    ["a hello without fields", (s: WebSocket) => s.send(encodeMsgpack({ type: "hello" }))],
    ["more than 16 KiB", (s: WebSocket) => s.send(new Uint8Array(16 * 1024 + 1))],
    ["an announce before hello", (s: WebSocket) => s.send(encodeToTracker({ type: "leave", swarm: SWARM }))],
  ])("loses its connection after %s, and nobody else does", async (_, attack) => {
    const tracker = await start();
    const good = await new Bare(urlOf(tracker)).join(1);
    const bad = new Bare(urlOf(tracker));
    await bad.hear("challenge");
    const closed = once(bad.socket, "close");
    attack(bad.socket);
    await closed;
    good.say({ type: "announce", swarm: SWARM, have: 0, rows: 1 });
    await good.hear("peers");
    expect(tracker.status()).toEqual({ connections: 1, peers: 1, swarms: 1 });
  });

  it("is cut off when it floods", async () => {
    const tracker = await start();
    const bad = await new Bare(urlOf(tracker)).join(1);
    const closed = once(bad.socket, "close");
    for (let i = 0; i < 2_000; i += 1) bad.say({ type: "leave", swarm: SWARM });
    await closed;
    expect(bad.heard.at(-1)).toMatchObject({ type: "refused", remoteCode: "ERR_RATE_LIMITED" });
  });

  it.each([
    [
      "a frame of 2^63 bytes",
      Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
    ],
    ["an unmasked frame", Buffer.from([0x82, 0x01, 0x00])],
    ["a bad opcode", Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ["reserved bits", Buffer.from([0xf2, 0x80, 0, 0, 0, 0])],
  ])("loses its connection after %s on the raw socket", async (_, frame) => {
    const tracker = await start();
    const { port } = new URL(urlOf(tracker));
    const socket = connect(Number(port), "127.0.0.1");
    opened.push({ close: () => socket.destroy() });
    socket.on("error", () => {});
    socket.write(
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    await once(socket, "data");
    socket.write(frame);
    socket.resume();
    await once(socket, "close");
    await new Bare(urlOf(tracker)).join(1);
    expect(tracker.status().connections).toBe(1);
  });
});
