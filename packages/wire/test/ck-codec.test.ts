import { encodeMsgpack, isAppError, toHex } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CkMessage,
  type Claim,
  claimSigningBytes,
  decodeCk,
  encodeCk,
  type LinkMessage,
  MAX_CLAIM_PAUSE_MS,
  MAX_PROMISE_RUNS,
  MAX_RUNS,
  MAX_VERSION,
  peerIdOf,
  promiseSigningBytes,
  type RowPromise,
} from "../src/index.js";

const bytesOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });

const runs = fc
  .array(fc.record({ gap: fc.nat(1000), count: fc.integer({ min: 1, max: 1000 }) }), { maxLength: 50 })
  .map((parts) => {
    let at = 0;
    return parts.map(({ gap, count }) => {
      const run = { first: at + gap, count };
      at = run.first + count;
      return run;
    });
  });

const claim: fc.Arbitrary<Claim> = fc
  .record({
    span: fc.nat(100_000),
    rows: fc.record({ first: fc.nat(1000), count: fc.integer({ min: 1, max: 1000 }) }),
    epoch: fc.maxSafeNat(),
    bytesDone: fc.maxSafeNat(),
    rate: fc.double({ min: 0, max: 1e12, noNaN: true }),
    standing: fc.oneof(
      fc.record({
        state: fc.constantFrom("open" as const, "moving" as const, "done" as const, "released" as const),
      }),
      fc.record({
        state: fc.constant("paused" as const),
        pauseMs: fc.integer({ min: 1, max: MAX_CLAIM_PAUSE_MS }),
      }),
    ),
    key: bytesOf(32),
    signature: bytesOf(64),
  })
  .map(({ standing, ...parts }) => Object.assign({ claimer: toHex(peerIdOf(parts.key)) }, parts, standing));

const promise: fc.Arbitrary<RowPromise> = fc
  .record({ runs, epoch: fc.maxSafeNat(), key: bytesOf(32), signature: bytesOf(64) })
  .map((parts) => Object.assign({ promiser: toHex(peerIdOf(parts.key)) }, parts));

const message: fc.Arbitrary<CkMessage | LinkMessage> = fc.oneof(
  fc.record({ type: fc.constantFrom("have" as const, "lost" as const, "bad-rows" as const), runs }),
  fc.record({ type: fc.constant("claim" as const), claim, hops: fc.nat(4) }),
  fc.record({ type: fc.constant("promise" as const), promise, hops: fc.nat(4) }),
  fc.record({
    type: fc.constant("peers" as const),
    peers: fc.array(
      fc.record(
        {
          address: fc.oneof(fc.ipV4(), fc.ipV6()),
          port: fc.integer({ min: 1, max: 65_535 }),
          id: bytesOf(8).map(toHex),
        },
        { requiredKeys: ["address", "port"] },
      ),
      { maxLength: 50 },
    ),
  }),
  fc.record({
    type: fc.constant("neighbours" as const),
    ids: fc.array(bytesOf(8).map(toHex), { maxLength: 64 }),
  }),
  fc.record({ type: fc.constant("newer" as const), version: fc.integer({ min: 1, max: MAX_VERSION }) }),
  fc.record({
    type: fc.constant("identity" as const),
    key: bytesOf(32),
    signature: bytesOf(64),
    versionId: bytesOf(32),
    requires: fc.array(fc.string({ maxLength: 20 }), { maxLength: 16 }),
    claimRules: fc.nat(65_535),
    peerClass: fc.constantFrom("wired" as const, "wifi" as const, "battery" as const),
    port: fc.nat(65_535),
  }),
  fc.record({ type: fc.constant("probe" as const), nonce: fc.nat(2 ** 32 - 1), reply: fc.boolean() }),
);

const refused = expect.objectContaining({ code: "ERR_WIRE_MESSAGE_INVALID" });

describe("decodeCk", () => {
  it("gives back what encodeCk was given", () => {
    fc.assert(
      fc.property(message, (original) => {
        const decoded = decodeCk(encodeCk(original));
        expect(encodeCk(decoded)).toEqual(encodeCk(original));
        expect(decoded).toMatchObject(
          JSON.parse(JSON.stringify(original, (_, v: unknown) => (v instanceof Uint8Array ? undefined : v))),
        );
      }),
    );
  });

  it("takes addresses without ids, and refuses ids that are none or too many", () => {
    const peers = [["10.0.0.1", 7650]];
    expect(decodeCk(encodeMsgpack({ type: "peers", peers }))).toEqual({
      type: "peers",
      peers: [{ address: "10.0.0.1", port: 7650 }],
    });
    for (const ids of [[], [new Uint8Array(7)], [new Uint8Array(8), new Uint8Array(8)], ["00"]])
      expect(() => decodeCk(encodeMsgpack({ type: "peers", peers, ids }))).toThrow(refused);
  });

  it("throws nothing but ERR_WIRE_MESSAGE_INVALID on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(errorCode(() => decodeCk(bytes))).toBeOneOf([undefined, "ERR_WIRE_MESSAGE_INVALID"]);
      }),
      { numRuns: 500 },
    );
  });

  it("throws nothing but ERR_WIRE_MESSAGE_INVALID on a valid message with changed bytes", () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.nat(255), (original, at, value) => {
        const bytes = encodeCk(original).slice();
        bytes[at % bytes.length] = value;
        expect(errorCode(() => decodeCk(bytes))).toBeOneOf([undefined, "ERR_WIRE_MESSAGE_INVALID"]);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["runs that overlap", { type: "have", runs: [0, 10, 9, 5] }],
    ["runs in descending order", { type: "have", runs: [50, 10, 0, 5] }],
    ["a neighbour of seven bytes", { type: "neighbours", ids: [new Uint8Array(7)] }],
    ["too many neighbours", { type: "neighbours", ids: Array.from({ length: 65 }, () => new Uint8Array(8)) }],
    ["version 0", { type: "newer", version: 0 }],
    ["a version past the highest", { type: "newer", version: MAX_VERSION + 1 }],
    ["an empty run", { type: "lost", runs: [5, 0] }],
    ["half a run", { type: "have", runs: [5] }],
    ["a run past the most rows", { type: "have", runs: [8 * 1024 * 1024, 1] }],
    ["a run of fractions", { type: "have", runs: [0.5, 1] }],
    ["too many runs", { type: "have", runs: Array.from({ length: 2 * MAX_RUNS + 2 }, (_, i) => i) }],
    ["a host name for an address", { type: "peers", peers: [["localhost", 80]] }],
    ["port 0", { type: "peers", peers: [["10.0.0.1", 0]] }],
    ["too many peers", { type: "peers", peers: Array.from({ length: 51 }, () => ["10.0.0.1", 80]) }],
    ["an unknown type", { type: "toString" }],
    ["a list in place of a map", []],
    ["a date", new Date(0)],
  ])("refuses %s", (_, value) => {
    expect(() => decodeCk(encodeMsgpack(value))).toThrow(refused);
  });

  it.each([{ rate: Number.POSITIVE_INFINITY }, { rate: Number.NaN }, { rate: -1 }, { bytesDone: 0.5 }])(
    "is not even sent a claim with %j: that is our own mistake",
    (bad) => {
      const [sample] = fc.sample(claim, 1);
      expect(sample).toBeDefined();
      if (sample === undefined) return;
      expect(() => encodeCk({ type: "claim", claim: { ...sample, ...bad }, hops: 0 })).toThrow("unreachable");
    },
  );

  it("takes the claimer from the key, whatever the message says", () => {
    const [sample] = fc.sample(claim, 1);
    const forged = { ...sample, claimer: "00".repeat(32), rows: [0, 1] };
    const decoded = decodeCk(encodeMsgpack({ type: "claim", claim: forged, hops: 0 }));
    expect(decoded).toMatchObject({ claim: { claimer: sample?.claimer } });
  });

  it("takes 4,096 runs and no message above 64 KiB", () => {
    const most = Array.from({ length: MAX_RUNS }, (_, i) => ({ first: i * 2, count: 1 }));
    expect(decodeCk(encodeCk({ type: "have", runs: most }))).toEqual({ type: "have", runs: most });
    const huge = Array.from({ length: 40_000 }, (_, i) => ({ first: i * 2, count: 1 }));
    expect(() => encodeCk({ type: "have", runs: huge })).toThrow(refused);
    expect(() => decodeCk(new Uint8Array(64 * 1024 + 1))).toThrow(refused);
  });

  it.each([undefined, 0, -1, 1.5, MAX_CLAIM_PAUSE_MS + 1, "1000"])(
    "refuses a paused claim with a pause of %s ms",
    (pauseMs) => {
      const [sample] = fc.sample(claim, 1);
      const { pauseMs: _, claimer: __, rows = { first: 0, count: 1 }, ...fields } = sample ?? {};
      const paused = { ...fields, rows: [rows.first, rows.count], state: "paused", pauseMs };
      const bytes = encodeMsgpack({ type: "claim", claim: paused, hops: 0 });
      expect(() => decodeCk(bytes)).toThrow(refused);
    },
  );
});

const every = (count: number): RowPromise => ({
  runs: Array.from({ length: count }, (_, i) => ({ first: 2 * i, count: 1 })),
  promiser: toHex(peerIdOf(new Uint8Array(32))),
  epoch: 1,
  key: new Uint8Array(32),
  signature: new Uint8Array(64),
});

describe("a promise", () => {
  it(`has at most ${MAX_PROMISE_RUNS} runs`, () => {
    const bytes = encodeCk({ type: "promise", promise: every(MAX_PROMISE_RUNS), hops: 0 });
    expect(decodeCk(bytes)).toMatchObject({ promise: every(MAX_PROMISE_RUNS) });
    const more = { ...every(0), runs: Array.from({ length: 2 * MAX_PROMISE_RUNS + 2 }, (_, i) => 2 * i + 1) };
    expect(() => decodeCk(encodeMsgpack({ type: "promise", promise: more, hops: 0 }))).toThrow(refused);
    expect(() => encodeCk({ type: "promise", promise: every(MAX_PROMISE_RUNS + 1), hops: 0 })).toThrow(
      "unreachable",
    );
  });

  it("is signed for its version, promiser, epoch and every run", () => {
    const version = new Uint8Array(32);
    const base = every(2);
    const variants = [
      promiseSigningBytes(version, base),
      promiseSigningBytes(new Uint8Array(32).fill(1), base),
      promiseSigningBytes(version, { ...base, epoch: 2 }),
      promiseSigningBytes(version, { ...base, runs: base.runs.slice(1) }),
      promiseSigningBytes(version, { ...base, runs: [{ first: 0, count: 2 }] }),
      promiseSigningBytes(version, { ...base, promiser: "11".repeat(32) }),
    ];
    expect(new Set(variants.map(toHex)).size).toBe(variants.length);
  });
});

describe("claimSigningBytes", () => {
  it("differs whenever a field of the claim or the version differs", () => {
    const [sample] = fc.sample(claim, 1);
    expect(sample).toBeDefined();
    if (sample === undefined) return;
    const { pauseMs: _, ...unpaused } = sample;
    const base = { ...unpaused, epoch: 1, bytesDone: 1, rate: 1, span: 1, state: "open" as const };
    const version = new Uint8Array(32);
    const variants = [
      claimSigningBytes(version, base),
      claimSigningBytes(new Uint8Array(32).fill(1), base),
      claimSigningBytes(version, { ...base, span: 2 }),
      claimSigningBytes(version, { ...base, rows: { first: base.rows.first + 1, count: base.rows.count } }),
      claimSigningBytes(version, { ...base, rows: { first: base.rows.first, count: base.rows.count + 1 } }),
      claimSigningBytes(version, { ...base, epoch: 2 }),
      claimSigningBytes(version, { ...base, bytesDone: 2 }),
      claimSigningBytes(version, { ...base, rate: 2 }),
      claimSigningBytes(version, { ...base, state: "done" }),
      claimSigningBytes(version, { ...base, state: "paused", pauseMs: 1 }),
      claimSigningBytes(version, { ...base, state: "paused", pauseMs: 2 }),
      claimSigningBytes(version, { ...base, claimer: "11".repeat(32) }),
    ];
    expect(new Set(variants.map(toHex)).size).toBe(variants.length);
  });
});

function errorCode(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (err) {
    return isAppError(err) ? err.code : `not an AppError: ${String(err)}`;
  }
}
