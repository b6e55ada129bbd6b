import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BitsHandler } from "../../src/bits/bits-request.js";
import { eventually } from "../origin-fixture.js";
import { openBitsListener } from "./bits-fixture.js";
import { get, packet, RawClient } from "./raw-client.js";

const HEALTH = get("/healthz");
const RUNS = 150;

/** Reads a part of the body that depends on what it is asked. */
const readSome: BitsHandler = async (request) => {
  for (let i = 0; i < request.target.length % 3; i += 1) await request.read();
  return { status: 200, headers: {} };
};

const piece = fc.oneof(
  fc.constantFrom(
    packet(),
    packet(["Content-Length: 5"]),
    packet(["Content-Length: 5"], "/ab"),
    packet(["Content-Length: 5", "Expect: 100-continue"]),
    packet(["Connection: close"]),
    packet(["Transfer-Encoding: chunked"]),
    HEALTH,
    get("/metrics"),
    "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "BITS_POST ",
    "BITS",
    "\r\n",
    "\r\n\r\n",
    "12345",
  ),
  fc.string({ unit: "binary", maxLength: 12 }),
);

/** Pieces of requests, with a byte here and there that is another one. */
const stream = fc
  .record({
    pieces: fc.array(piece, { minLength: 1, maxLength: 8 }),
    mutations: fc.array(fc.record({ at: fc.nat(2000), byte: fc.nat(255) }), { maxLength: 3 }),
    cuts: fc.array(fc.nat(2000), { maxLength: 4 }),
  })
  .map(({ pieces, mutations, cuts }) => {
    const bytes = Buffer.from(pieces.join(""), "latin1");
    for (const { at, byte } of mutations) if (at < bytes.length) bytes[at] = byte;
    const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].toSorted((a, b) => a - b);
    return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
  });

describe("bytes that nobody would send", () => {
  it("are answered or end the connection; no failure of ours, no connection left", async () => {
    const { url, log, listener, stop } = await openBitsListener(readSome);
    await fc.assert(
      fc.asyncProperty(stream, async (writes) => {
        const client = await RawClient.open(url);
        for (const bytes of writes) await client.write(bytes).catch(() => undefined);
        client.socket.end();
        while ((await client.next()) !== undefined);
      }),
      { numRuns: RUNS },
    );
    const client = await RawClient.open(url);
    expect((await client.ask(packet()))?.status).toBe(200);
    expect(log.filter((line) => line.includes("failed"))).toEqual([]);
    client.socket.destroy();
    stop();
    await listener.close(10_000);
    await eventually(() => client.hasEnded);
  });
});
