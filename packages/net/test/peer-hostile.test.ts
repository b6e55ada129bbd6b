import { isAppError, seededRandom } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { encodeCk } from "@ckmesh/wire";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { checkExtendedHandshake } from "../src/bencode-check.js";
import { MAX_UNSENT_BYTES } from "../src/link-limits.js";
import { connectSide, infohash, ROW_BYTES, ROWS, type Side, settle } from "./link-fixtures.js";
import { MemorySocket } from "./memory-socket.js";
import { GOOD_EXTENDED, RawPeer, raw } from "./raw-peer.js";

/** Payloads that the table in the wire specification lists, and their relatives. */
const invalid = expect.objectContaining({ code: "ERR_WIRE_MESSAGE_INVALID" });

let clock: VirtualClock;
let sockets: [MemorySocket, MemorySocket];
let victim: Side;
let attacker: RawPeer;

beforeEach(() => {
  clock = new VirtualClock();
  sockets = MemorySocket.pair();
  victim = connectSide(sockets[0], "listener", clock);
  attacker = new RawPeer(sockets[1]);
});

/** The attacker proves its key first: it is a member of the swarm. */
async function joined(): Promise<void> {
  attacker.behave();
  await settle();
  expect(victim.link).toBeDefined();
  victim.link?.send({ type: "unchoke" });
  await settle();
}

const named = (names: number): string =>
  `d1:md2:cki1e${Array.from({ length: names }, (_, i) => `5:x${String(i).padStart(4, "0")}i1e`).join("")}ee`;

describe("a hostile extended handshake ends the link before the library decodes it", () => {
  it.each([
    ["the four bytes that loop for ever", "l-3:"],
    ["a negative text length within m", "d1:ml-3:ee"],
    ["m = {a: {toString: 1}}", "d1:md1:ad8:toStringi1eeee"],
    ["m = {ck: {toString: 1}}", "d1:md2:ckd8:toStringi1eeee"],
    ["m as a list", "d1:ml2:cki1eee"],
    ["m as an integer", "d1:mi1ee"],
    ["m as a text", "d1:m2:cke"],
    ["17 names", named(16)],
    ["an extension id of 256", "d1:md2:cki256eee"],
    ["a negative extension id", "d1:md2:cki-1eee"],
    ["no ck", "d1:md2:xxi1eee"],
    ["ck switched off", "d1:md2:cki0eee"],
    ["no m", "de"],
    ["nesting of depth 4", "d1:md2:cki1ee1:xllleeee"],
    ["4 KiB of l", "l".repeat(4094)],
    ["an endless integer", `d1:mdi${"9".repeat(300)}eee`],
    ["a text past its end", "d1:md2:cki1ee1:v99:xe"],
    ["a key without value", "d1:md2:cki1ee1:ve"],
    ["bytes after the end", `${GOOD_EXTENDED}x`],
    ["no end", "d1:md2:cki1ee"],
    ["a bare text", "4:spam"],
  ])("%s", async (_, payload) => {
    attacker.send(raw.handshake(infohash, attacker.identity.peerId.subarray(0, 20)), raw.extended(payload));
    await settle();
    expect(victim.failure).toEqual(invalid);
    expect(sockets[0].isDestroyed).toBe(true);
  });

  it("200,000 names, far above 4 KiB, never buffered", async () => {
    attacker.send(raw.handshake(infohash), raw.extended(named(200_000)).subarray(0, 6));
    await settle();
    expect(victim.failure).toEqual(invalid);
  });

  it("a second one", async () => {
    await joined();
    attacker.send(raw.extended(GOOD_EXTENDED));
    await settle();
    expect(victim.recorder.closings).toEqual([invalid]);
  });

  it("__proto__ as a name is harmless", async () => {
    attacker.send(
      raw.handshake(infohash, attacker.identity.peerId.subarray(0, 20)),
      raw.extended("d1:md9:__proto__i3e2:cki1eee"),
      raw.ck(attacker.proof()),
    );
    await settle();
    expect(victim.link).toBeDefined();
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

describe("a hostile handshake ends the link", () => {
  it.each([
    ["MSE: 96 zero bytes", new Uint8Array(96)],
    ["another protocol", Buffer.from(`\u0013BitTorrent protocoL${"\0".repeat(48)}`, "latin1")],
    ["another infohash", raw.handshake(new Uint8Array(20))],
    ["no extension protocol", raw.handshake(infohash, new Uint8Array(20), "0000000000000004")],
    ["no fast extension", raw.handshake(infohash, new Uint8Array(20), "0000000000100000")],
  ])("%s", async (_, bytes) => {
    attacker.send(bytes);
    await settle();
    expect(victim.failure).toEqual(invalid);
  });
});

describe("a member that sends what is not allowed loses the link", () => {
  it.each<readonly [string, readonly Uint8Array[]]>([
    ["length prefix 0x7fffffff", [length(0x7f_ff_ff_ff), Buffer.from([7]), new Uint8Array(100)]],
    ["length prefix 0x80000000, which is no keep-alive", [length(0x80_00_00_00), Buffer.from([4])]],
    ["length prefix 0xffffffff", [length(0xff_ff_ff_ff), Buffer.from([20])]],
    ["a 64 MiB bitfield", [length(1 + 64 * 1024 * 1024), Buffer.from([5])]],
    ["a bitfield one byte too short", [raw.message(5, new Uint8Array(ROWS / 8 - 1))]],
    ["a bitfield one byte too long", [raw.message(5, new Uint8Array(ROWS / 8 + 1))]],
    ["a second bitfield", [raw.message(14), raw.message(15)]],
    ["a short request", [raw.numbers(6, 1, 0)]],
    ["a long request", [raw.numbers(6, 1, 0, 1024, 5)]],
    ["a short piece", [raw.numbers(7, 1)]],
    ["a piece without bytes", [raw.numbers(7, 1, 0)]],
    ["a choke with a body", [raw.message(0, "x")]],
    ["a request for row -1", [raw.numbers(6, 0xff_ff_ff_ff, 0, ROW_BYTES)]],
    ["a request for the row after the last", [raw.numbers(6, ROWS, 0, ROW_BYTES)]],
    ["a request with an offset", [raw.numbers(6, 1, 512, 512)]],
    ["a request of nothing", [raw.numbers(6, 1, 0, 0)]],
    ["a request of 1 MiB and one byte", [raw.numbers(6, 1, 0, 1024 * 1024 + 1)]],
    ["a request of 4 GiB", [raw.numbers(6, 1, 0, 0xff_ff_ff_ff)]],
    ["have of row 0xffffffff", [raw.numbers(4, 0xff_ff_ff_ff)]],
    ["an unsolicited piece", [Buffer.concat([length(9 + 8), Buffer.from([7]), Buffer.alloc(16)])]],
    ["an unsolicited reject", [raw.numbers(16, 1, 0, ROW_BYTES)]],
    ["message id 21", [raw.message(21)]],
    ["message id 255", [raw.message(255, "x")]],
    ["an extension that was not offered", [raw.message(20, Buffer.from([2, 0x80]))]],
    ["an empty extended message", [raw.message(20)]],
    ["a ck message of 64 KiB and one byte", [raw.ck(new Uint8Array(64 * 1024 + 1))]],
    ["a ck message that is no msgpack", [raw.ck(Buffer.from([0xc1, 0xc1]))]],
    ["a ck message nested 30,000 deep", [raw.ck(new Uint8Array(30_000).fill(0x91))]],
    ["a ck message with a 4 GiB array", [raw.ck(Buffer.from("dfffffffff", "hex"))]],
    ["ck haves past the last row", [raw.ck(encodeCk({ type: "have", runs: [{ first: ROWS, count: 1 }] }))]],
    ["a second identity", [raw.ck(encodeCk({ type: "probe", nonce: 1, reply: false }))]],
  ])("%s", async (name, parts) => {
    await joined();
    attacker.send(...(name === "a second identity" ? [raw.ck(attacker.proof())] : parts));
    await settle();
    expect(victim.recorder.closings).toEqual([invalid]);
    expect(attacker.isClosed).toBe(true);
  });

  it("a piece that was asked for, but of another length", async () => {
    await joined();
    attacker.send(raw.message(1));
    await settle();
    victim.link?.send({ type: "request", row: 1, length: 2 * ROW_BYTES });
    attacker.send(raw.message(7, Buffer.alloc(8 + ROW_BYTES, Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]))));
    await settle();
    expect(victim.recorder.closings).toEqual([invalid]);
    expect(victim.recorder.types).not.toContain("piece");
  });

  it("the same piece twice", async () => {
    await joined();
    attacker.send(raw.message(1));
    await settle();
    victim.link?.send({ type: "request", row: 1, length: ROW_BYTES });
    const piece = Buffer.alloc(8 + ROW_BYTES);
    piece.writeUInt32BE(1, 0);
    attacker.send(raw.message(7, piece));
    await settle();
    attacker.send(raw.message(7, piece));
    await settle();
    expect(victim.recorder.types).toEqual(["unchoke", "piece"]);
    expect(victim.recorder.closings).toEqual([invalid]);
  });

  it("20,000 requests", async () => {
    await joined();
    for (let i = 0; i < 20_000; i += 1) {
      attacker.send(raw.numbers(6, i % ROWS, 0, ROW_BYTES));
      if (i === 100) await settle();
    }
    await settle();
    expect(victim.recorder.closings).toEqual([invalid]);
    expect(victim.recorder.types.filter((type) => type === "request").length).toBe(64);
  });

  it("20,000 requests while choked", async () => {
    await joined();
    victim.link?.send({ type: "choke" });
    for (let i = 0; i < 20_000; i += 1) attacker.send(raw.numbers(6, i % ROWS, 0, ROW_BYTES));
    await settle();
    expect(victim.recorder.closings).toEqual([invalid]);
    expect(attacker.receivedBytes).toBeLessThan(20_000);
  });

  it.each([
    ["interested", raw.message(2)],
    ["keep-alive", Buffer.alloc(4)],
    ["have", raw.numbers(4, 1)],
    ["port", raw.message(9, "ab")],
    ["cancel", raw.numbers(8, 1, 0, ROW_BYTES)],
    ["probe", raw.ck(encodeCk({ type: "probe", nonce: 1, reply: false }))],
  ])("a flood of %s messages", async (_, message) => {
    await joined();
    for (let i = 0; i < 10_000; i += 1) attacker.send(message);
    await settle();
    expect(victim.recorder.closings).toEqual([invalid]);
    expect(victim.recorder.messages.length).toBeLessThan(2100);
  });
});

describe("a member that never reads", () => {
  it("costs no more than its open requests and what the socket holds", async () => {
    await joined();
    sockets[1].pause();
    for (let i = 0; i < 8; i += 1) attacker.send(raw.numbers(6, i, 0, 1024 * ROW_BYTES));
    await settle();
    const bytes = new Uint8Array(1024 * ROW_BYTES);
    for (let i = 0; i < 8; i += 1) victim.link?.send({ type: "piece", row: i, bytes });
    for (let i = 8; i < 64; i += 1) attacker.send(raw.numbers(6, i, 0, 1024 * ROW_BYTES));
    await settle();
    expect(sockets[0].waitingBytes).toBeLessThan(2.5 * 1024 * ROW_BYTES);
    expect(victim.link?.queuedBytes).toBeLessThan(9 * 1024 * ROW_BYTES);
  });

  it("is cut off when control messages pile up", async () => {
    await joined();
    sockets[1].pause();
    const runs = Array.from({ length: 4000 }, (_, i) => ({ first: i * 2, count: 1 }));
    for (let i = 0; i < 1000; i += 1) victim.link?.send({ type: "have", runs });
    await settle();
    expect(victim.recorder.closings).toEqual([expect.objectContaining({ code: "ERR_TIMEOUT" })]);
    expect(sockets[0].waitingBytes).toBeLessThan(MAX_UNSENT_BYTES + 64 * 1024);
  });
});

describe("random streams", () => {
  it("mutated at random, valid streams do no harm and end, if at all, with an AppError", async () => {
    const random = seededRandom(42);
    const endings = new Set<string>();
    for (let round = 0; round < 300; round += 1) {
      sockets = MemorySocket.pair();
      victim = connectSide(sockets[0], "listener", clock);
      attacker = new RawPeer(sockets[1]);
      const isJoined = round % 2 === 0;
      if (isJoined) await joined();
      const stream = isJoined ? memberStream() : greeting(attacker);
      for (let i = 0; i < 3; i += 1) {
        const at = Math.floor(random.next() * stream.length);
        stream[at] = Math.floor(random.next() * 256);
      }
      for (let at = 0; at < stream.length; ) {
        const end = at + 1 + Math.floor(random.next() * 400);
        attacker.send(stream.subarray(at, end));
        at = end;
      }
      await new Promise<void>((resolve) => {
        setImmediate(() => setImmediate(resolve));
      });
      const err = victim.failure ?? victim.recorder.closings[0];
      if (err !== undefined) endings.add(isAppError(err) ? err.code : String(err));
      victim.connection.close();
    }
    expect([...endings].toSorted()).toEqual(["ERR_PEER_REFUSED", "ERR_WIRE_MESSAGE_INVALID"]);
  });

  it("a valid stream passes however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), async (cuts) => {
        sockets = MemorySocket.pair();
        victim = connectSide(sockets[0], "listener", clock);
        attacker = new RawPeer(sockets[1]);
        await joined();
        const stream = memberStream();
        for (let at = 0, i = 0; at < stream.length; i += 1) {
          const end = at + (cuts[i % cuts.length] ?? 1);
          attacker.send(stream.subarray(at, end));
          at = end;
        }
        await settle();
        expect(victim.failure).toBeUndefined();
        expect(victim.recorder.types).toEqual(["bitfield", "interested", "request", "have", "have"]);
        victim.connection.close();
      }),
      { numRuns: 30 },
    );
  });

  it("arbitrary bytes after the handshake never pass the bencode check as a decoder's poison", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        const bytes = Buffer.concat([Buffer.from("d1:md2:cki1ee"), noise]);
        expect(outcome(bytes)).toBeOneOf(["ok", "ERR_WIRE_MESSAGE_INVALID"]);
      }),
      { numRuns: 2000 },
    );
  });
});

/** A bare length prefix. */
function length(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

function greeting(peer: RawPeer): Buffer {
  return Buffer.concat([
    raw.handshake(infohash, peer.identity.peerId.subarray(0, 20)),
    raw.extended(GOOD_EXTENDED),
    raw.ck(peer.proof()),
  ]);
}

function memberStream(): Buffer {
  return Buffer.concat([
    raw.message(5, new Uint8Array(ROWS / 8).fill(0xaa)),
    raw.message(2),
    raw.numbers(6, 3, 0, ROW_BYTES),
    raw.ck(encodeCk({ type: "have", runs: [{ first: 3, count: 3 }] })),
    raw.numbers(4, 1),
    Buffer.alloc(4),
    raw.ck(encodeCk({ type: "probe", nonce: 77, reply: false })),
  ]);
}

function outcome(bytes: Uint8Array): string {
  try {
    checkExtendedHandshake(bytes, "ck");
    return "ok";
  } catch (err) {
    return isAppError(err) ? err.code : String(err);
  }
}
