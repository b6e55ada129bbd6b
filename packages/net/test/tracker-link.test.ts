import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AppError, encodeMsgpack, seededRandom, silentLogger } from "@ckmesh/core";
import { TrackerLink, type TrackerLinkHandler, type TrackerLinkOptions } from "@ckmesh/net";
import { VirtualClock } from "@ckmesh/testkit";
import {
  checkJoinProof,
  decodeToTracker,
  encodeFromTracker,
  type FromTracker,
  type ProgressReport,
  type ToTracker,
} from "@ckmesh/wire";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

const NONCE = new Uint8Array(16).fill(5);
const PEER_ID = new Uint8Array(32).fill(9);
const SWARM = new Uint8Array(32).fill(1);
const WELCOME: FromTracker = {
  type: "welcome",
  site: "Berlin",
  networks: ["10.1.0.0/16"],
  observed: "10.1.0.5",
  announceMs: 60_000,
};
const REPORT: ProgressReport = {
  image: "xp",
  version: 1,
  state: "fetching",
  have: 0,
  rows: 10,
  bytes: { previous: 0, delta: 0, host: 0, peers: 0, origin: 0, wasted: 0 },
};

/** Values of any kind, awaited one by one. */
class Inbox<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];
  put(item: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#items.push(item);
    else next(item);
  }
  async next(): Promise<T> {
    const item = this.#items.shift();
    return item ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}

let server: WebSocketServer;
let url = "";
let clock: VirtualClock;
let link: TrackerLink | undefined;
const sockets = { inbox: new Inbox<WebSocket>() };
const received = { inbox: new Inbox<ToTracker>() };
const statuses = { inbox: new Inbox<string>() };

beforeEach(async () => {
  clock = new VirtualClock();
  sockets.inbox = new Inbox();
  received.inbox = new Inbox();
  statuses.inbox = new Inbox();
  server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket) => {
    socket.on("message", (data) => {
      if (data instanceof Uint8Array) received.inbox.put(decodeToTracker(data));
    });
    socket.on("error", () => {});
    sockets.inbox.put(socket);
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  url = `ws://127.0.0.1:${isAddressInfo(address) ? address.port : 0}`;
});
afterEach(async () => {
  await link?.close();
  link = undefined;
  for (const socket of server.clients) socket.terminate();
  await new Promise((resolve) => server.close(resolve));
});

function isAddressInfo(value: string | AddressInfo | null): value is AddressInfo {
  return typeof value === "object" && value !== null;
}

function startLink(handler: TrackerLinkHandler = {}, extra: Partial<TrackerLinkOptions> = {}): TrackerLink {
  link = new TrackerLink({
    url,
    peerId: PEER_ID,
    peerClass: "wired",
    peerPort: () => 7650,
    whereabouts: () => ({ addresses: ["10.1.0.5"], subnets: ["10.1.0.0/24"] }),
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    handler: {
      ...handler,
      status: (s) => statuses.inbox.put(s.lastError === undefined ? s.state : `${s.state}: ${s.lastError}`),
    },
    ...extra,
  });
  link.start();
  return link;
}

/** The next status that is not "connecting…". */
async function outcome(): Promise<string> {
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is asked for
    const status = await statuses.inbox.next();
    if (!status.startsWith("connecting")) return status;
  }
}

const say = (socket: WebSocket, message: FromTracker): void => socket.send(encodeFromTracker(message));

async function welcomed(): Promise<WebSocket> {
  const socket = await sockets.inbox.next();
  say(socket, { type: "challenge", nonce: NONCE });
  await received.inbox.next();
  say(socket, WELCOME);
  expect(await outcome()).toBe("connected");
  return socket;
}

describe("TrackerLink", () => {
  it("answers the challenge with ticket and join proof", async () => {
    const joinKey = new Uint8Array(32).fill(2);
    startLink({}, { joinKey, site: "Berlin", ticket: () => Promise.resolve(new Uint8Array([1, 2, 3])) });
    say(await sockets.inbox.next(), { type: "challenge", nonce: NONCE });
    const hello = await received.inbox.next();
    expect(hello).toMatchObject({ type: "hello", site: "Berlin", port: 7650, addresses: ["10.1.0.5"] });
    const proof = hello.type === "hello" ? hello.joinProof : undefined;
    expect(checkJoinProof(joinKey, NONCE, PEER_ID, proof ?? new Uint8Array())).toBe(true);
  });

  it("announces known swarms after welcome and again within the interval that the tracker asks for", async () => {
    const tracker = startLink();
    tracker.announce(SWARM, 1, 10);
    await welcomed();
    expect(await received.inbox.next()).toMatchObject({ type: "announce", have: 1, rows: 10 });
    tracker.announce(SWARM, 7, 10);
    clock.advance(60_000);
    expect(await received.inbox.next()).toMatchObject({ type: "announce", have: 7 });
  });

  it("hands on peers of swarms that it announced, and of no others", async () => {
    const seen: string[] = [];
    const tracker = startLink({
      peers: (swarm, peers) => seen.push(`${swarm === SWARM} ${peers[0]?.address}`),
      published: (image, version) => seen.push(`${image} ${version}`),
    });
    tracker.announce(SWARM, 0, 10);
    const socket = await welcomed();
    await received.inbox.next();
    const peers = [{ address: "10.1.0.6", port: 7650 }];
    say(socket, { type: "peers", swarm: new Uint8Array(32), peers, complete: true });
    say(socket, { type: "peers", swarm: SWARM, peers, complete: true });
    say(socket, { type: "published", image: "xp", version: 2 });
    socket.close();
    await outcome();
    expect(seen).toEqual(["true 10.1.0.6", "xp 2"]);
  });

  it("sends one report about an image in 5 s, the last one", async () => {
    const tracker = startLink();
    await welcomed();
    for (const have of [1, 2, 3]) tracker.report({ ...REPORT, have });
    expect(await received.inbox.next()).toMatchObject({ type: "report", have: 1 });
    clock.advance(5_000);
    expect(await received.inbox.next()).toMatchObject({ type: "report", have: 3 });
  });

  it("spreads a burst of publications, the last version of each image", async () => {
    const tracker = startLink();
    await welcomed();
    for (let version = 1; version <= 1_000; version += 1) tracker.publish("xp", version);
    expect(await received.inbox.next()).toEqual({ type: "published", image: "xp", version: 1 });
    clock.advance(5_000);
    expect(await received.inbox.next()).toEqual({ type: "published", image: "xp", version: 1_000 });
  });

  it("keeps reports and publications for the next connection", async () => {
    const tracker = startLink();
    tracker.report(REPORT);
    tracker.publish("xp", 2);
    await welcomed();
    expect(await received.inbox.next()).toMatchObject({ type: "report", image: "xp" });
    expect(await received.inbox.next()).toEqual({ type: "published", image: "xp", version: 2 });
  });

  it("connects again and announces again when the tracker went away", async () => {
    const tracker = startLink();
    tracker.announce(SWARM, 1, 10);
    const first = await welcomed();
    await received.inbox.next();
    first.terminate();
    expect(await outcome()).toMatch(/^waiting: the tracker closed/);
    clock.advance(10_000);
    await welcomed();
    expect(await received.inbox.next()).toMatchObject({ type: "announce", have: 1 });
  });

  it("waits at least as long as a refusing tracker asks", async () => {
    startLink();
    const socket = await sockets.inbox.next();
    say(socket, { type: "challenge", nonce: NONCE });
    say(socket, { type: "refused", remoteCode: "ERR_TICKET_INVALID", message: "expired", retryMs: 40_000 });
    expect(await outcome()).toBe("waiting: refused: expired (ERR_TICKET_INVALID)");
    clock.advance(39_999);
    expect(link?.status.state).toBe("waiting");
    clock.advance(1);
    expect(link?.status.state).toBe("connecting");
    await sockets.inbox.next();
  });

  it("tries without a ticket when the origin gives none, and says why it was refused", async () => {
    startLink({}, { ticket: () => Promise.reject(new Error("wrong password")) });
    const socket = await sockets.inbox.next();
    say(socket, { type: "challenge", nonce: NONCE });
    expect(await received.inbox.next()).not.toHaveProperty("ticket");
    say(socket, { type: "refused", remoteCode: "ERR_AUTH_REQUIRED", message: "ticket please", retryMs: 0 });
    expect(await outcome()).toBe(
      "waiting: refused: ticket please (ERR_AUTH_REQUIRED); no ticket from the origin: wrong password",
    );
  });

  it("shows the last ticket again while the origin cannot be reached", async () => {
    const answers = [Promise.resolve(new Uint8Array([7])), Promise.reject(new Error("origin down"))];
    answers[1]?.catch(() => {});
    startLink({}, { ticket: () => answers.shift() ?? Promise.resolve(undefined) });
    const first = await sockets.inbox.next();
    say(first, { type: "challenge", nonce: NONCE });
    await received.inbox.next();
    first.terminate();
    await outcome();
    clock.advance(10_000);
    say(await sockets.inbox.next(), { type: "challenge", nonce: NONCE });
    const hello = await received.inbox.next();
    expect(hello.type === "hello" ? [...(hello.ticket ?? [])] : hello.type).toEqual([7]);
  });

  it.each(["ERR_AUTH_REQUIRED", "ERR_AUTH_FORBIDDEN"] as const)(
    "shows no ticket any more once the origin has said %s",
    async (code) => {
      const answers = [Promise.resolve(new Uint8Array([7])), Promise.reject(new AppError(code, "no"))];
      answers[1]?.catch(() => {});
      startLink({}, { ticket: () => answers.shift() ?? Promise.resolve(undefined) });
      const first = await sockets.inbox.next();
      say(first, { type: "challenge", nonce: NONCE });
      expect(await received.inbox.next()).toHaveProperty("ticket");
      first.terminate();
      await outcome();
      clock.advance(10_000);
      say(await sockets.inbox.next(), { type: "challenge", nonce: NONCE });
      expect(await received.inbox.next()).not.toHaveProperty("ticket");
    },
  );

  it("gives up a tracker that does not welcome within 15 s", async () => {
    startLink();
    await sockets.inbox.next();
    clock.advance(15_000);
    expect(await outcome()).toBe("waiting: the tracker did not answer in time");
  });

  it("gives up a tracker that is silent for 90 s", async () => {
    startLink();
    await welcomed();
    clock.advance(90_000);
    expect(await outcome()).toBe("waiting: nothing heard of the tracker for 90 s");
  });

  it.each([
    ["random bytes", (s: WebSocket) => s.send(new Uint8Array([0xc1, 1, 2]))],
    ["a text message", (s: WebSocket) => s.send("hello")],
    ["a message of the wrong shape", (s: WebSocket) => s.send(encodeMsgpack({ type: "peers", peers: 1 }))],
    ["a message of more than 16 KiB", (s: WebSocket) => s.send(new Uint8Array(16 * 1024 + 1))],
    ["welcome without challenge", (s: WebSocket) => say(s, WELCOME)],
    ["two challenges", (s: WebSocket) => [1, 2].forEach(() => say(s, { type: "challenge", nonce: NONCE }))],
    [
      "a flood",
      (s: WebSocket) => {
        for (let i = 0; i < 600; i += 1) say(s, { type: "published", image: "xp", version: 1 });
      },
    ],
  ])("drops the connection, and nothing else, on %s", async (_, attack) => {
    startLink();
    attack(await sockets.inbox.next());
    expect(await outcome()).toMatch(/^waiting: /);
    clock.advance(10_000);
    await welcomed();
  });

  it("does not follow a redirect", async () => {
    const other = createServer((_req, res) => res.writeHead(302, { location: url }).end());
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address();
    startLink({}, { url: `ws://127.0.0.1:${isAddressInfo(address) ? address.port : 0}` });
    expect(await outcome()).toMatch(/^waiting: .*302/);
    expect(server.clients.size).toBe(0);
    other.closeAllConnections();
    await new Promise((resolve) => other.close(resolve));
  });

  it("refuses what is no tracker's URL or no certificate with ERR_CONFIG_INVALID", () => {
    for (const bad of ["http://x", "tracker:7660", "", "ws://user:pw@x"])
      expect(() => startLink({}, { url: bad })).toThrow(
        expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
      );
    expect(() => startLink({}, { ca: "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----" })).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
    );
  });

  it("can be closed twice, and while it waits", async () => {
    const tracker = startLink();
    (await sockets.inbox.next()).terminate();
    await outcome();
    await tracker.close();
    await tracker.close();
    clock.advance(600_000);
    expect(tracker.status.state).toBe("closed");
  });
});
