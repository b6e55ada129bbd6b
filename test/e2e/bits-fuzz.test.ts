import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KIB, type Random, seededRandom } from "@ckmesh/core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { residentMib } from "../lab/process-usage.js";
import {
  BITS_PROTOCOL,
  BitsConnection,
  basic,
  CODE,
  fragmentPacket,
  packetBytes,
} from "../testbed/bits-connection.js";
import { startBitsOrigin } from "../testbed/bits-origin.js";
import { ALICE } from "../testbed/local-accounts.js";
import { mutate } from "../testbed/mutate.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";

/* Requests that no client sends: each is answered or its connection closed, and the origin stays as it was. */
const START_TIMEOUT_MS = 60_000;
const FUZZ_TIMEOUT_MS = 150_000;
const HEADS = 4000;
const RANGES = 2000;
const LANES = 8;
/** A connection whose client has finished is closed at once; this is for a busy machine. */
const CLOSE_TIMEOUT_MS = 15_000;
const MAX_GROWTH_MIB = 24;
const SEED = 7;
const TOTAL = 64 * KIB;
/** 500 only with a code of BITS. */
const EXPECTED = new Set([
  100, 200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 416, 417, 431, 501, 505,
]);
/** Names in a log that a fuzzer must not bring about: errors, and an exception that nobody caught. */
const BAD_LOG = /"level":(?:50|60)|unhandled|uncaught/i;

let folder: string;
let origin: OriginUnderTest;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ckbits-"));
  const authentication = { lockout: { threshold: 1000, seconds: 1 } };
  origin = await startBitsOrigin({ folder, authentication }, AbortSignal.timeout(START_TIMEOUT_MS));
}, START_TIMEOUT_MS);

afterAll(async () => {
  await origin?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const pick = <T>(random: Random, of: readonly [T, ...T[]]): T =>
  of[Math.floor(random.next() * of.length)] ?? of[0];

/** Sends bytes and the end of what is sent; returns all that comes back until the origin closes. */
async function exchange(bytes: Uint8Array): Promise<Buffer> {
  const socket = connect({
    port: Number(new URL(origin.httpUrl).port),
    host: "127.0.0.1",
    allowHalfOpen: true,
  });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // Refused and cut off while we still send: no failure.
  socket.on("error", () => {});
  const closed = once(socket, "close", { signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) });
  socket.end(bytes);
  socket.on("end", () => socket.destroy());
  try {
    await closed;
  } catch {
    socket.destroy();
    throw new Error(`not closed in time after ${JSON.stringify(Buffer.from(bytes).toString("latin1"))}`);
  }
  return Buffer.concat(chunks);
}

/** Damages what lies before the credentials. */
function damagedRequest(request: Buffer, n: number): Buffer {
  const end = request.indexOf("Authorization:");
  const random = seededRandom(SEED * 1_000_003 + n);
  return Buffer.concat([mutate(request.subarray(0, end), random), request.subarray(end)]);
}

it(
  "heads that are damaged in 4,000 ways are refused or taken, and never break the origin",
  async () => {
    const path = "/MEDVImages/Fuzz_1.ckm";
    const client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    const id = await client.create(path);
    const user = basic(ALICE);
    const requests = [
      packetBytes({ path, type: "Ping" }, user),
      packetBytes(
        { path, type: "Create-Session", headers: [`BITS-Supported-Protocols: ${BITS_PROTOCOL}`] },
        user,
      ),
      packetBytes(fragmentPacket(path, id, { first: 0, total: TOTAL, bytes: new Uint8Array(64) }), user),
      packetBytes({ path, type: "Close-Session", sessionId: "{00000000-0000-4000-8000-000000000000}" }, user),
    ];
    const run = async (from: number, to: number): Promise<void> => {
      const lane = async (first: number): Promise<void> => {
        for (let n = first; n < to; n += LANES) {
          const request = damagedRequest(requests[n % requests.length] ?? Buffer.alloc(0), n);
          const answer = (await exchange(request)).toString("latin1"); // oxlint-disable-line no-await-in-loop -- one lane
          for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) {
            const isKnown =
              EXPECTED.has(Number(status)) || (status === "500" && /0x802000(?:1f|20)/i.test(answer));
            if (!isKnown)
              throw new Error(`${status} to request ${n}: ${request.toString("latin1")}\n${answer}`);
          }
        }
      };
      await Promise.all(Array.from({ length: LANES }, (_, i) => lane(from + i)));
    };
    await run(0, HEADS / 2);
    const before = residentMib(origin.pid);
    await run(HEADS / 2, HEADS);
    expect(residentMib(origin.pid) - before).toBeLessThan(MAX_GROWTH_MIB);
    expect((await (await BitsConnection.open({ url: origin.httpUrl }, user)).ping(path)).status).toBe(200);
    expect(origin.log()).not.toMatch(BAD_LOG);
    client.close();
  },
  FUZZ_TIMEOUT_MS,
);

/**
 * What may be answered to no range at all: with the byte wanted, unless the head cannot be read; what is too large for
 * any file has a code of its own.
 */
function refusalsOf(text: string, next: number): readonly (readonly (number | undefined)[])[] {
  if (!/^[\x20-\x7e]*$/.test(text)) return [[400, undefined, CODE.invalidArgument]];
  return [
    [400, next, CODE.invalidArgument],
    [500, next, CODE.tooLarge],
  ];
}

/** What a Content-Range may be, written a second time: first, last, total; undefined when it is none. */
function readRange(text: string): readonly [number, number, number] | undefined {
  const [, first = "", last = "", total = ""] = /^bytes +(\d+)-(\d+)\/(\d+)$/i.exec(text) ?? [];
  if (first === "" || Math.max(first.length, last.length, total.length) > 15) return undefined;
  return [Number(first), Number(last), Number(total)];
}

function randomRange(random: Random): string {
  const number = (): string =>
    pick(random, [
      "0",
      "9",
      "10",
      "19",
      "00",
      "65535",
      "65536",
      "-1",
      "+1",
      "",
      "*",
      "x",
      "1e3",
      "99999999999999999999",
    ]);
  const isPlain = random.next() < 0.5;
  const first = Math.floor(random.next() * 30);
  if (isPlain) return `${pick(random, ["bytes", "Bytes", "BYTES", "bits"])} ${first}-${first + 9}/${TOTAL}`;
  const unit = pick(random, ["bytes", "byte", "", "octets"]);
  const slash = pick(random, ["/", "//", "", "\\"]);
  return `${unit}${pick(random, [" ", "  ", "=", ""])}${number()}${pick(random, ["-", "--", "–", ""])}${number()}${slash}${pick(random, [String(TOTAL), number()])}`;
}

it(
  "of 2,000 ranges exactly those are taken that are ranges, fit the body and leave no gap",
  async () => {
    const path = "/MEDVImages/Fuzz_2.ckm";
    const random = seededRandom(SEED);
    let client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    const id = await client.create(path);
    let next = 0;
    let taken = 0;
    for (let n = 0; n < RANGES; n += 1) {
      const text = randomRange(random);
      const range = readRange(text);
      const isGood =
        range !== undefined && range[1] - range[0] === 9 && range[2] === TOTAL && range[1] < TOTAL;
      /* oxlint-disable no-await-in-loop -- one session */
      if (!client.raw.isOpen) client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
      const { status, received, code } = await client.send({
        path,
        type: "Fragment",
        sessionId: id,
        headers: [`Content-Range: ${text}`],
        body: new Uint8Array(10),
      });
      /* oxlint-enable no-await-in-loop */
      const isStep = isGood && range[0] <= next;
      if (isStep) {
        next = Math.max(next, range[1] + 1);
        taken += 1;
      }
      const expected = isStep
        ? [[200, next, undefined]]
        : isGood
          ? [[416, next, undefined]]
          : refusalsOf(text, next);
      expect([text, expected]).toEqual([text, expect.arrayContaining([[status, received, code]])]);
    }
    expect(taken).toBeGreaterThan(RANGES / 20);
    client.close();
    expect(origin.log()).not.toMatch(BAD_LOG);
  },
  FUZZ_TIMEOUT_MS,
);
