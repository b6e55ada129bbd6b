import { encodeMsgpack, isAppError } from "@ckmesh/core";
import {
  decodeFromTracker,
  decodeToTracker,
  encodeFromTracker,
  encodeToTracker,
  type FromTracker,
  MAX_PEERS_PER_ANSWER,
  MAX_TRACKER_MESSAGE_BYTES,
  type ToTracker,
} from "@ckmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const id32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const label = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,30}[A-Za-z0-9]$/);
const version = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const haveRows = fc.tuple(fc.nat(8_388_608), fc.nat(8_388_608)).map(([a, b]) => ({
  have: Math.min(a, b),
  rows: Math.max(a, b),
}));
const subnet = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([a, n]) => `${a}/${n}`);
const toTracker: fc.Arbitrary<ToTracker> = fc.oneof(
  fc.record(
    {
      type: fc.constant("hello" as const),
      peerId: id32,
      ticket: fc.uint8Array({ minLength: 1, maxLength: 2048 }),
      joinProof: id32,
      site: label,
      addresses: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 16 }),
      subnets: fc.array(subnet, { maxLength: 16 }),
      port: fc.integer({ min: 0, max: 65_535 }),
      peerClass: fc.constantFrom("wired" as const, "wifi" as const, "battery" as const),
      requires: fc.array(fc.string({ maxLength: 64 }), { maxLength: 16 }),
      claimRules: fc.nat(65_535),
    },
    {
      requiredKeys: ["type", "peerId", "addresses", "subnets", "port", "peerClass", "requires", "claimRules"],
    },
  ),
  fc
    .tuple(id32, haveRows)
    .map(([swarm, { have, rows }]): ToTracker => ({ type: "announce", swarm, have, rows })),
  fc.record({ type: fc.constant("leave" as const), swarm: id32 }),
  fc.record({ type: fc.constant("published" as const), image: label, version }),
  fc
    .tuple(
      haveRows,
      fc.record({ previous: count, delta: count, host: count, peers: count, origin: count, wasted: count }),
      version,
      label,
    )
    .map(
      ([{ have, rows }, bytes, v, image]): ToTracker => ({
        type: "report",
        image,
        version: v,
        state: "fetching",
        have,
        rows,
        bytes,
      }),
    ),
);
const fromTracker: fc.Arbitrary<FromTracker> = fc.oneof(
  fc.record({
    type: fc.constant("challenge" as const),
    nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  }),
  fc.record({
    type: fc.constant("welcome" as const),
    site: label,
    networks: fc.array(subnet, { maxLength: 64 }),
    observed: fc.oneof(fc.ipV4(), fc.ipV6()),
    announceMs: fc.integer({ min: 1, max: 86_400_000 }),
  }),
  fc.record({
    type: fc.constant("peers" as const),
    swarm: id32,
    peers: fc.array(
      fc.record({ address: fc.oneof(fc.ipV4(), fc.ipV6()), port: fc.integer({ min: 1, max: 65_535 }) }),
      { maxLength: MAX_PEERS_PER_ANSWER },
    ),
    complete: fc.boolean(),
  }),
  fc.record({ type: fc.constant("published" as const), image: label, version }),
  fc.record({
    type: fc.constant("refused" as const),
    remoteCode: fc.constantFrom("ERR_TICKET_INVALID", "ERR_RATE_LIMITED"),
    message: fc.string({ maxLength: 256 }),
    retryMs: fc.nat(86_400_000),
  }),
);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (err) {
    return isAppError(err) ? err.code : `not an AppError: ${String(err)}`;
  }
  return "no error";
}
/** Byte arrays as lists: what is decoded are Buffers, what was given are not. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}
const HELLO = {
  type: "hello",
  peerId: new Uint8Array(32),
  addresses: ["10.1.1.5"],
  subnets: ["10.1.1.0/24"],
  port: 7650,
  peerClass: "wired",
  requires: [],
  claimRules: 1,
};
const SWARM = new Uint8Array(32);

describe("tracker messages", () => {
  it("come back as they were sent", () => {
    fc.assert(
      fc.property(toTracker, fromTracker, (a, b) => {
        expect(plain(decodeToTracker(encodeToTracker(a)))).toEqual(plain(a));
        expect(plain(decodeFromTracker(encodeFromTracker(b)))).toEqual(plain(b));
      }),
    );
  });

  it("made of arbitrary bytes or values give a message or ERR_WIRE_MESSAGE_INVALID", () => {
    const input = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.anything({ withNullPrototype: false }).map((v) => {
        try {
          return encodeMsgpack(v);
        } catch {
          return new Uint8Array();
        }
      }),
    );
    fc.assert(
      fc.property(input, (bytes) => {
        expect(["no error", "ERR_WIRE_MESSAGE_INVALID"]).toContain(codeOf(() => decodeToTracker(bytes)));
        expect(["no error", "ERR_WIRE_MESSAGE_INVALID"]).toContain(codeOf(() => decodeFromTracker(bytes)));
      }),
      { numRuns: 500 },
    );
  });

  it("with flipped bytes give a message or ERR_WIRE_MESSAGE_INVALID", () => {
    fc.assert(
      fc.property(toTracker, fromTracker, fc.nat(), fc.integer({ min: 1, max: 255 }), (a, b, at, flip) => {
        const [one, two] = [encodeToTracker(a), encodeFromTracker(b)];
        for (const bytes of [one, two]) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip;
        expect(["no error", "ERR_WIRE_MESSAGE_INVALID"]).toContain(codeOf(() => decodeToTracker(one)));
        expect(["no error", "ERR_WIRE_MESSAGE_INVALID"]).toContain(codeOf(() => decodeFromTracker(two)));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["a peer id of 31 bytes", { ...HELLO, peerId: new Uint8Array(31) }],
    ["17 addresses", { ...HELLO, addresses: Array.from({ length: 17 }, () => "10.0.0.1") }],
    ["a name for an address", { ...HELLO, addresses: ["tracker.example"] }],
    ["a subnet without length", { ...HELLO, subnets: ["10.0.0.0"] }],
    ["port 65536", { ...HELLO, port: 65_536 }],
    ["an unknown class", { ...HELLO, peerClass: "satellite" }],
    ["an empty site label", { ...HELLO, site: "" }],
    ["a site label with a line break", { ...HELLO, site: "a\nb" }],
    ["a site label of 65 characters", { ...HELLO, site: "x".repeat(65) }],
    ["more held rows than rows", { type: "announce", swarm: SWARM, have: 2, rows: 1 }],
    ["more rows than a version has", { type: "announce", swarm: SWARM, have: 0, rows: 8_388_609 }],
    ["an image name with a slash", { type: "published", image: "../x", version: 1 }],
    ["version 0", { type: "published", image: "x", version: 0 }],
    ["a text for a number", { type: "announce", swarm: SWARM, have: "1", rows: 1 }],
    ["an unknown type", { type: "exec" }],
    ["a list", [HELLO]],
  ])("to the tracker are refused with %s", (_, value) => {
    expect(codeOf(() => decodeToTracker(encodeMsgpack(value)))).toBe("ERR_WIRE_MESSAGE_INVALID");
  });

  it.each([
    [
      "51 peers",
      {
        type: "peers",
        swarm: SWARM,
        complete: true,
        peers: Array.from({ length: 51 }, () => ["10.0.0.1", 1]),
      },
    ],
    ["a peer on port 0", { type: "peers", swarm: SWARM, complete: true, peers: [["10.0.0.1", 0]] }],
    ["a peer that is a name", { type: "peers", swarm: SWARM, complete: true, peers: [["localhost", 7650]] }],
    ["a challenge of 15 bytes", { type: "challenge", nonce: new Uint8Array(15) }],
    [
      "an endless announce interval",
      { type: "welcome", site: "x", networks: [], observed: "10.0.0.1", announceMs: 1e12 },
    ],
  ])("from the tracker are refused with %s", (_, value) => {
    expect(codeOf(() => decodeFromTracker(encodeMsgpack(value)))).toBe("ERR_WIRE_MESSAGE_INVALID");
  });

  it("above 16 KiB are refused in both directions", () => {
    const long = new Uint8Array(MAX_TRACKER_MESSAGE_BYTES + 1);
    expect(codeOf(() => decodeToTracker(long))).toBe("ERR_WIRE_MESSAGE_INVALID");
    expect(codeOf(() => decodeFromTracker(long))).toBe("ERR_WIRE_MESSAGE_INVALID");
    const message: FromTracker = {
      type: "refused",
      remoteCode: "x",
      message: "y".repeat(20_000),
      retryMs: 0,
    };
    expect(codeOf(() => encodeFromTracker(message))).toBe("ERR_WIRE_MESSAGE_INVALID");
  });
});
