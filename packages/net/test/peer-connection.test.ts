import { toHex } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { type Claim, claimSigningBytes, encodeCk, type PeerMessage, promiseSigningBytes } from "@ckmesh/wire";
import { beforeEach, describe, expect, it } from "vitest";
import { Identity } from "../src/identity.js";
import { connectSide, ROW_BYTES, ROWS, type Side, settle, versionId } from "./link-fixtures.js";
import { MemorySocket } from "./memory-socket.js";
import { RawPeer, raw } from "./raw-peer.js";

const timeout = expect.objectContaining({ code: "ERR_TIMEOUT" });
const invalid = expect.objectContaining({ code: "ERR_WIRE_MESSAGE_INVALID" });
const refused = expect.objectContaining({ code: "ERR_PEER_REFUSED" });

let clock: VirtualClock;
let sockets: [MemorySocket, MemorySocket];
beforeEach(() => {
  clock = new VirtualClock();
  sockets = MemorySocket.pair();
});

/** Two proper ends, up. */
async function linked(): Promise<[Side, Side]> {
  const a = connectSide(sockets[0], "dialer", clock);
  const b = connectSide(sockets[1], "listener", clock);
  await settle();
  expect([a.link, b.link]).not.toContain(undefined);
  return [a, b];
}

/** A proper end, up, and a raw one that behaved so far. */
async function linkedRaw(): Promise<[Side, RawPeer]> {
  const side = connectSide(sockets[0], "listener", clock);
  const peer = new RawPeer(sockets[1]);
  peer.behave();
  await settle();
  expect(side.link).toBeDefined();
  return [side, peer];
}

function claimOf(identity: Identity, span = 3): Claim {
  const unsigned = {
    span,
    rows: { first: 10, count: 5 },
    claimer: identity.peerIdHex,
    epoch: 1,
    bytesDone: 0,
    rate: 0,
    state: "open" as const,
  };
  return {
    ...unsigned,
    key: identity.publicKey,
    signature: identity.sign(claimSigningBytes(versionId, unsigned)),
  };
}

describe("a peer link", () => {
  it("knows its peer by a proven key and has measured it", async () => {
    const [a, b] = await linked();
    expect(a.link).toMatchObject({
      peerId: b.identity.peerIdHex,
      inbound: false,
      port: 7650,
      address: "10.0.0.1",
      rttMs: 0,
    });
    expect(b.link).toMatchObject({
      peerId: a.identity.peerIdHex,
      inbound: true,
      port: 0,
      peerClass: "wired",
    });
    expect(toHex(a.link?.key ?? new Uint8Array(0))).toBe(toHex(b.identity.publicKey));
  });

  it("carries every message unchanged and in order", async () => {
    const [a, b] = await linked();
    const messages: readonly PeerMessage[] = [
      { type: "bitfield", bits: new Uint8Array(ROWS / 8).fill(0x55) },
      { type: "interested" },
      { type: "unchoke" },
      { type: "have", runs: [{ first: 1, count: 2 }] },
      { type: "lost", runs: [{ first: 1, count: 1 }] },
      { type: "bad-rows", runs: [{ first: 4, count: 1 }] },
      { type: "peers", peers: [{ address: "10.1.1.1", port: 7650 }] },
      { type: "claim", claim: claimOf(a.identity), hops: 2 },
      { type: "not-interested" },
      { type: "choke" },
    ];
    for (const message of messages) a.link?.send(message);
    await settle();
    expect(b.recorder.messages.map(asText)).toEqual(messages.map(asText));
  });

  it("keeps messages that come before start, and the end too", async () => {
    const a = connectSide(sockets[0], "dialer", clock);
    const b = connectSide(sockets[1], "listener", clock, { autoStart: false });
    await settle();
    a.link?.send({ type: "have-all" });
    await settle();
    b.link?.start(b.recorder);
    await settle();
    expect(b.recorder.types).toEqual(["have-all"]);
  });

  it("splits more than 4,096 runs into several messages", async () => {
    const [a, b] = await linked();
    const runs = Array.from({ length: 5000 }, (_, i) => ({ first: i * 2, count: 1 }));
    a.link?.send({ type: "have", runs });
    await settle();
    expect(b.recorder.messages).toEqual([
      { type: "have", runs: runs.slice(0, 4096) },
      { type: "have", runs: runs.slice(4096) },
    ]);
  });

  it("answers a request with its piece", async () => {
    const [a, b] = await linked();
    const bytes = new Uint8Array(4 * ROW_BYTES).fill(9);
    b.recorder.react = (m) => {
      if (m.type === "request") b.link?.send({ type: "piece", row: m.row, bytes });
    };
    b.link?.send({ type: "unchoke" });
    await settle();
    a.link?.send({ type: "request", row: 10, length: bytes.length });
    await settle();
    expect(a.recorder.messages.at(-1)).toEqual({ type: "piece", row: 10, bytes: Buffer.from(bytes) });
    expect(b.recorder.drains).toBe(1);
    expect(b.link?.queuedBytes).toBe(0);
  });

  it("gives back a request that meets a choke as a reject", async () => {
    const [a, b] = await linked();
    a.link?.send({ type: "request", row: 10, length: ROW_BYTES });
    await settle();
    expect(a.recorder.messages).toEqual([{ type: "reject", row: 10, length: ROW_BYTES }]);
    expect(b.recorder.messages).toEqual([]);
  });

  it("rejects open requests when it chokes, and drops their pieces", async () => {
    const [a, b] = await linked();
    b.link?.send({ type: "unchoke" });
    await settle();
    a.link?.send({ type: "request", row: 10, length: ROW_BYTES });
    await settle();
    b.link?.send({ type: "choke" });
    b.link?.send({ type: "piece", row: 10, bytes: new Uint8Array(ROW_BYTES) });
    await settle();
    expect(a.recorder.types).toEqual(["unchoke", "choke", "reject"]);
  });

  it("rejects a cancelled request itself and takes it again later", async () => {
    const [a, b] = await linked();
    b.link?.send({ type: "unchoke" });
    await settle();
    a.link?.send({ type: "request", row: 10, length: ROW_BYTES });
    a.link?.send({ type: "cancel", row: 10, length: ROW_BYTES });
    await settle();
    a.link?.send({ type: "request", row: 10, length: ROW_BYTES });
    await settle();
    b.link?.send({ type: "piece", row: 10, bytes: new Uint8Array(ROW_BYTES) });
    await settle();
    expect(a.recorder.types).toEqual(["unchoke", "reject", "piece"]);
    expect(b.recorder.types).toEqual(["request", "cancel", "request"]);
  });

  it("rejects the 65th open request, more than 8 MiB, and rows of unknown size", async () => {
    const [a, b] = await linked();
    b.link?.send({ type: "unchoke" });
    await settle();
    for (let i = 0; i < 65; i += 1) a.link?.send({ type: "request", row: i, length: ROW_BYTES });
    await settle();
    expect(b.recorder.types.filter((t) => t === "request").length).toBe(64);
    expect(a.recorder.messages.at(-1)).toEqual({ type: "reject", row: 64, length: ROW_BYTES });
    const [side, peer] = await linkedRawWith(MemorySocket.pair());
    side.link?.send({ type: "unchoke" });
    await settle();
    for (let i = 0; i < 9; i += 1) peer.send(raw.numbers(6, i, 0, 1024 * ROW_BYTES));
    peer.send(raw.numbers(6, 0, 0, ROW_BYTES + 1));
    await settle();
    expect(side.recorder.types).toEqual(Array.from({ length: 8 }, () => "request"));
    expect(side.recorder.closings).toEqual([]);
  });

  it("sends control messages ahead of queued pieces", async () => {
    const [a, b] = await linked();
    b.link?.send({ type: "unchoke" });
    await settle();
    for (let i = 0; i < 4; i += 1) a.link?.send({ type: "request", row: i * 512, length: 512 * ROW_BYTES });
    await settle();
    sockets[0].pause();
    for (let i = 0; i < 4; i += 1)
      b.link?.send({ type: "piece", row: i * 512, bytes: new Uint8Array(512 * ROW_BYTES) });
    await settle();
    b.link?.send({ type: "have", runs: [{ first: 0, count: 1 }] });
    expect(b.link?.queuedBytes).toBeGreaterThanOrEqual(4 * 512 * ROW_BYTES);
    sockets[0].resume();
    await settle();
    expect(a.recorder.types).toEqual(["unchoke", "piece", "have", "piece", "piece", "piece"]);
  });

  it("delivers last words before it closes in peace, once on both sides", async () => {
    const [a, b] = await linked();
    a.link?.send({ type: "bad-rows", runs: [{ first: 1, count: 1 }] });
    a.link?.close("banned");
    a.link?.close("banned");
    await settle();
    expect(b.recorder.types).toEqual(["bad-rows"]);
    expect(a.recorder.closings).toEqual([undefined]);
    expect(b.recorder.closings).toEqual([undefined]);
    expect(a.ended && b.ended).toBe(true);
  });

  it("closes the link, not the process, when its handler throws", async () => {
    const [a, b] = await linked();
    b.recorder.react = () => {
      throw new Error("bug");
    };
    a.link?.send({ type: "interested" });
    await settle();
    expect(b.recorder.closings).toEqual([expect.objectContaining({ code: "ERR_INTERNAL" })]);
    expect(a.recorder.closings.length).toBe(1);
  });

  it("refuses to ask for rows that end within a row", async () => {
    const [a] = await linked();
    expect(() => a.link?.send({ type: "request", row: 0, length: 5 })).toThrow("unreachable");
  });
});

describe("the proof of identity", () => {
  it("fails on both sides of a man in the middle, whose TLS exporters differ", async () => {
    sockets = MemorySocket.pair("leg one", "leg two");
    const a = connectSide(sockets[0], "dialer", clock);
    const b = connectSide(sockets[1], "listener", clock);
    await settle();
    expect([a.link, b.link]).toEqual([undefined, undefined]);
    expect([a.failure, b.failure]).toEqual([refused, refused]);
  });

  it("is refused when a peer's own proof is sent back to it", async () => {
    const side = connectSide(sockets[0], "listener", clock);
    const echo = new RawPeer(sockets[1], "listener"); // signs in the victim's role
    echo.behave();
    await settle();
    expect(side.failure).toEqual(refused);
  });

  it("tells a connection to itself", async () => {
    const identity = Identity.generate();
    const a = connectSide(sockets[0], "dialer", clock, { identity });
    const b = connectSide(sockets[1], "listener", clock, { identity });
    await settle();
    expect(a.failure).toMatchObject({ code: "ERR_PEER_REFUSED", details: { isSelf: true } });
    expect(b.link).toBeUndefined();
  });

  it("refuses another version with the same keys", async () => {
    const a = connectSide(sockets[0], "dialer", clock, { versionId: new Uint8Array(32) });
    const b = connectSide(sockets[1], "listener", clock);
    await settle();
    expect([a.failure, b.failure]).toEqual([refused, refused]);
  });

  it.each([
    ["an unknown requirement", { requires: ["time-travel"] }],
    ["other claim rules", { claimRules: 2 }],
  ])("refuses %s", async (_, overrides) => {
    const side = connectSide(sockets[0], "listener", clock);
    const peer = new RawPeer(sockets[1]);
    peer.greet();
    peer.send(raw.ck(peer.proof(overrides)));
    await settle();
    expect(side.failure).toEqual(refused);
  });

  it("refuses a peer id that differs between handshake and proof", async () => {
    const side = connectSide(sockets[0], "listener", clock);
    const peer = new RawPeer(sockets[1]);
    peer.send(raw.handshake(), raw.extended("d1:md2:cki1eee"), raw.ck(peer.proof()));
    await settle();
    expect(side.failure).toEqual(refused);
  });

  it("comes before anything else", async () => {
    const side = connectSide(sockets[0], "listener", clock);
    const peer = new RawPeer(sockets[1]);
    peer.greet();
    peer.send(raw.message(14));
    await settle();
    expect(side.failure).toEqual(invalid);
  });
});

describe("claims", () => {
  it("arrive with their signature checked; a forged one ends the link", async () => {
    const [side, peer] = await linkedRaw();
    const third = Identity.generate();
    const claim = claimOf(third);
    peer.send(raw.ck(encodeCk({ type: "claim", claim, hops: 1 })));
    await settle();
    expect(side.recorder.types).toEqual(["claim"]);
    peer.send(raw.ck(encodeCk({ type: "claim", claim: { ...claim, bytesDone: 1 }, hops: 1 })));
    await settle();
    expect(side.recorder.types).toEqual(["claim"]);
    expect(side.recorder.closings).toEqual([invalid]);
  });
});

describe("promises", () => {
  it("arrive with their signature checked; a forged one ends the link", async () => {
    const [side, peer] = await linkedRaw();
    const third = Identity.generate();
    const unsigned = { runs: [{ first: 1, count: 2 }], promiser: third.peerIdHex, epoch: 7 };
    const promise = {
      ...unsigned,
      key: third.publicKey,
      signature: third.sign(promiseSigningBytes(versionId, unsigned)),
    };
    peer.send(raw.ck(encodeCk({ type: "promise", promise, hops: 1 })));
    await settle();
    expect(side.recorder.types).toEqual(["promise"]);
    peer.send(
      raw.ck(encodeCk({ type: "promise", promise: { ...promise, runs: [{ first: 1, count: 3 }] }, hops: 1 })),
    );
    await settle();
    expect(side.recorder.types).toEqual(["promise"]);
    expect(side.recorder.closings).toEqual([invalid]);
  });
});

describe("deadlines", () => {
  it("end a handshake after 10 s", async () => {
    const side = connectSide(sockets[0], "listener", clock);
    new RawPeer(sockets[1]).greet();
    await settle();
    clock.advance(9000);
    expect(side.failure).toBeUndefined();
    clock.advance(1000);
    expect(side.failure).toEqual(timeout);
    expect(sockets[0].isDestroyed).toBe(true);
  });

  it("end a link after 120 s of silence, and not while the peer sends keep-alives", async () => {
    const [a, b] = await linked();
    for (let i = 0; i < 10; i += 1) {
      clock.advance(60_000);
      await settle();
    }
    expect([a.recorder.closings, b.recorder.closings]).toEqual([[], []]);
    const [side, peer] = await linkedRawWith(MemorySocket.pair());
    clock.advance(119_000);
    expect(side.recorder.closings).toEqual([]);
    clock.advance(1000);
    await settle();
    expect(side.recorder.closings).toEqual([timeout]);
    expect(peer.isClosed).toBe(true);
  });

  it("end a link whose request gets no answer in 60 s", async () => {
    const [side, peer] = await linkedRaw();
    peer.send(raw.message(1));
    await settle();
    side.link?.send({ type: "request", row: 0, length: ROW_BYTES });
    clock.advance(30_000);
    peer.send(raw.message(2));
    await settle();
    expect(side.recorder.closings).toEqual([]);
    clock.advance(30_000);
    await settle();
    expect(side.recorder.closings).toEqual([timeout]);
  });

  it("end a link whose message drips in for 60 s (slow loris)", async () => {
    const [side, peer] = await linkedRaw();
    const drip = raw.message(5, new Uint8Array(ROWS / 8));
    for (let i = 0; i < 59; i += 1) {
      peer.send(drip.subarray(i, i + 1));
      await settle();
      clock.advance(1000);
    }
    expect(side.recorder.closings).toEqual([]);
    peer.send(drip.subarray(59, 60));
    await settle();
    clock.advance(2000);
    await settle();
    expect(side.recorder.closings).toEqual([timeout]);
  });

  it("end a link whose peer takes nothing for 30 s", async () => {
    const [side, peer] = await linkedRaw();
    side.link?.send({ type: "unchoke" });
    peer.send(raw.numbers(6, 0, 0, 512 * ROW_BYTES));
    await settle();
    sockets[1].pause();
    side.link?.send({ type: "piece", row: 0, bytes: new Uint8Array(512 * ROW_BYTES) });
    await settle();
    clock.advance(29_000);
    expect(side.recorder.closings).toEqual([]);
    clock.advance(2000);
    await settle();
    expect(side.recorder.closings).toEqual([timeout]);
  });

  it("wait while this side does not read", async () => {
    const [side, peer] = await linkedRaw();
    peer.send(raw.message(1));
    await settle();
    side.link?.send({ type: "request", row: 0, length: ROW_BYTES });
    side.link?.pause();
    clock.advance(600_000);
    await settle();
    expect(side.recorder.closings).toEqual([]);
    side.link?.resume();
    expect(sockets[0].isPaused).toBe(false);
  });
});

/** Bytes as hex, whatever class they are of. */
function asText(message: PeerMessage): string {
  const plain = Object.entries(message.type === "claim" ? { ...message, ...message.claim } : message).map(
    ([key, value]: [string, unknown]) => [key, value instanceof Uint8Array ? toHex(value) : value],
  );
  return JSON.stringify(plain.filter(([key]) => key !== "claim"));
}

async function linkedRawWith(pair: [MemorySocket, MemorySocket]): Promise<[Side, RawPeer]> {
  sockets = pair;
  return linkedRaw();
}
