import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KIB, MIB } from "@ckmesh/core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  BitsConnection,
  type BitsReply,
  basic,
  CODE,
  fragmentPacket,
  packetBytes,
} from "../testbed/bits-connection.js";
import { startBitsOrigin } from "../testbed/bits-origin.js";
import { ALICE } from "../testbed/local-accounts.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";

/* [MC-BUP] 2.2.7 and 3.2.5.2.6, Microsoft Learn "Fragment": each row of the table of fragments is one test. */
const START_TIMEOUT_MS = 60_000;
/** What Windows sends at most ([MC-BUP] <10>). */
const LARGEST_FRAGMENT = 13 * MIB;
/** How long a client may be told to come again after its connection broke. */
const RESUME_TIMEOUT_MS = 15_000;
const TOTAL = 64 * KIB;
const PART = 16 * KIB;

const file = randomFillSync(new Uint8Array(TOTAL));
const part = (first: number, last: number) => ({
  first,
  total: TOTAL,
  bytes: file.subarray(first, last + 1),
});

let folder: string;
let origin: OriginUnderTest;
let client: BitsConnection;
let n = 0;
let path: string;
let id: string;

const open = (): Promise<BitsConnection> => BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ckbits-"));
  origin = await startBitsOrigin({ folder }, AbortSignal.timeout(START_TIMEOUT_MS));
}, START_TIMEOUT_MS);

afterAll(async () => {
  await origin?.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  n += 1;
  path = `/MEDVImages/Fragment${n}_1.ckm`;
  client = await open();
  id = await client.create(path);
});

afterEach(async () => {
  client.close();
  // Sessions of a user are limited.
  const last = await open();
  await last.send({ path, type: "Cancel-Session", sessionId: id });
  last.close();
});

/** Uploads what is missing from `first` on, and holds the file that came of it against what was sent. */
async function finish(first: number): Promise<void> {
  const connection = client.raw.isOpen ? client : await open();
  const replies = first < TOTAL ? [await connection.fragment(path, id, part(first, TOTAL - 1))] : [];
  expect(replies.every(({ status, received }) => status === 200 && received === TOTAL)).toBe(true);
  expect((await connection.closeSession(path, id)).status).toBe(200);
  const answer = await connection.get(path);
  expect(answer.status).toBe(200);
  expect(answer.body.equals(file)).toBe(true);
  if (connection !== client) connection.close();
}

/** As a client does after a broken connection: again while the server says 5xx. */
async function resume(range: ReturnType<typeof part>): Promise<BitsReply> {
  const deadline = performance.now() + RESUME_TIMEOUT_MS;
  const next = await open();
  try {
    for (;;) {
      const reply = await next.fragment(path, id, range); // oxlint-disable-line no-await-in-loop -- one after the other
      if (reply.status < 500 || performance.now() > deadline) return reply;
    }
  } finally {
    next.close();
  }
}

describe("a fragment", () => {
  it("is appended where the file ends, and the next offset comes back", async () => {
    const { status, received, sessionId, headers } = await client.fragment(path, id, part(0, PART - 1));
    expect([status, received, sessionId]).toEqual([200, PART, id]);
    expect(headers.has("bits-reply-url")).toBe(false);
    await finish(PART);
  });

  it("may be one byte, and the whole file", async () => {
    expect((await client.fragment(path, id, part(0, 0))).received).toBe(1);
    expect((await client.fragment(path, id, part(1, 1))).received).toBe(2);
    await finish(2);
  });

  it("may be 13 MiB", async () => {
    const bytes = randomFillSync(new Uint8Array(LARGEST_FRAGMENT));
    const total = bytes.length + 1;
    const { status, received } = await client.fragment(path, id, { first: 0, total, bytes });
    expect([status, received]).toEqual([200, bytes.length]);
    const end = { first: bytes.length, total, bytes: file.subarray(0, 1) };
    expect((await client.fragment(path, id, end)).received).toBe(total);
    expect((await client.closeSession(path, id)).status).toBe(200);
    const tail = await client.get(path, [`Range: bytes=${total - KIB}-`]);
    expect(tail.status).toBe(206);
    expect(tail.body.equals(Buffer.concat([bytes.subarray(1 - KIB), file.subarray(0, 1)]))).toBe(true);
  });

  it("has the unit and the id read in any case", async () => {
    const { status, received } = await client.send({
      path,
      type: "fragment",
      sessionId: id.toLowerCase(),
      headers: [`content-range: BYTES 0-9/${TOTAL}`],
      body: file.subarray(0, 10),
    });
    expect([status, received]).toEqual([200, 10]);
    await finish(10);
  });

  it("may name its content, which names no file", async () => {
    const { status } = await client.send({
      ...fragmentPacket(path, id, part(0, 9)),
      headers: [`Content-Range: bytes 0-9/${TOTAL}`, "Content-Name: ../../../../tmp/evil.ckm"],
    });
    expect(status).toBe(200);
    await finish(10);
  });

  it("may say that it is not encoded", async () => {
    const { status } = await client.send({
      ...fragmentPacket(path, id, part(0, 9)),
      headers: [`Content-Range: bytes 0-9/${TOTAL}`, "Content-Encoding: identity"],
    });
    expect(status).toBe(200);
  });

  it("is refused when it is encoded, and nothing of it is kept", async () => {
    const { status } = await client.send({
      ...fragmentPacket(path, id, part(0, 9)),
      headers: [`Content-Range: bytes 0-9/${TOTAL}`, "Content-Encoding: gzip"],
    });
    expect([400, 415]).toContain(status);
    await finish(0);
  });

  it.each([
    ["missing", undefined],
    ["empty", ""],
    ["of another unit", "octets 0-9/65536"],
    ["of a request for ranges", "bytes=0-9/65536"],
    ["without unit", "0-9/65536"],
    ["without total", "bytes 0-9"],
    ["of unknown total", "bytes 0-9/*"],
    ["of no range", "bytes */65536"],
    ["of two ranges", "bytes 0-4/65536, 5-9/65536"],
    ["with more behind", "bytes 0-9/65536/1"],
    ["open at its end", "bytes 0-/65536"],
    ["open at its start", "bytes -9/65536"],
    ["with a sign", "bytes +0-9/65536"],
    ["with a negative start", "bytes -1-9/65536"],
    ["hexadecimal", "bytes 0x0-0x9/65536"],
    ["with an exponent", "bytes 0-9/1e5"],
    ["with a fraction", "bytes 0-9.0/65536"],
    ["with digits of another script", "bytes 0-\xd9\xa9/65536"],
    ["with a NUL", "bytes 0-9/65536\0"],
    ["backwards", "bytes 9-0/65536"],
    ["ending at the total", "bytes 65527-65536/65536"],
    ["ending behind the total", "bytes 0-9/5"],
    ["shorter than the body", "bytes 0-8/65536"],
    ["longer than the body", "bytes 0-10/65536"],
    ["beyond 2^63", "bytes 0-9/9223372036854775808"],
    ["beyond 2^64", "bytes 18446744073709551616-18446744073709551625/18446744073709551626"],
    ["where numbers of JavaScript end", "bytes 9007199254740993-9007199254741002/9007199254741003"],
    ["with a start of 300 digits", `bytes ${"9".repeat(300)}-9/65536`],
  ])("is refused when its Content-Range is %s, and nothing of it is kept", async (_, range) => {
    const { status, headers } = await client.sendPlain({
      path,
      type: "Fragment",
      sessionId: id,
      headers: range === undefined ? [] : [`Content-Range: ${range}`],
      body: file.subarray(0, 10),
    });
    const answer = `${status} ${headers.get("bits-error-code")?.join().toLowerCase() ?? ""}`;
    expect(rangeRefusals(range ?? "")).toContain(answer);
    await finish(0);
  });

  it("is refused when two ranges contradict each other", async () => {
    const { status } = await client.sendPlain({
      ...fragmentPacket(path, id, part(0, 9)),
      headers: ["Content-Range: bytes 0-9/65536", "Content-Range: bytes 10-19/65536"],
    });
    expect(status).toBe(400);
    await finish(0);
  });

  it("is refused when the total is not the first one's", async () => {
    await client.fragment(path, id, part(0, 9));
    const bytes = file.subarray(10, 20);
    const { status, code } = await client.fragment(path, id, { first: 10, total: TOTAL + 1, bytes });
    expect([status, code]).toEqual([400, CODE.invalidArgument]);
    await finish(10);
  });

  it("is refused with 500 and BG_E_TOO_LARGE when the total is more than any upload's", async () => {
    const total = 1844674407370956; // One more than the default of BITSMaximumUploadSize.
    const reply = await client.fragment(path, id, { first: 0, total, bytes: file.subarray(0, 10) });
    expect([reply.status, reply.code]).toEqual([500, CODE.tooLarge]);
  });

  it("is out of step behind a gap: 416 with the offset that is wanted, and no code", async () => {
    await client.fragment(path, id, part(0, 9));
    const { status, received, code } = await client.fragment(path, id, part(20, 29));
    expect([status, received]).toEqual([416, 10]);
    expect([undefined, 0]).toContain(code);
    await finish(10);
  });

  it("is out of step when it begins in the middle of a new session", async () => {
    const { status, received } = await client.fragment(path, id, part(20, 29));
    expect([status, received]).toEqual([416, 0]);
    await finish(0);
  });

  it("is cut where it overlaps, and never overwrites", async () => {
    await client.fragment(path, id, part(0, 19));
    const bytes = new Uint8Array(20).fill(0x2a);
    bytes.set(file.subarray(20, 30), 10);
    const { status, received } = await client.fragment(path, id, { first: 10, total: TOTAL, bytes });
    expect([status, received]).toEqual([200, 30]);
    await finish(30);
  });

  it("is acknowledged when all of it came before, and changes nothing", async () => {
    await client.fragment(path, id, part(0, 19));
    for (const first of [0, 5, 10]) {
      const range = { first, total: TOTAL, bytes: new Uint8Array(10) };
      const { status, received } = await client.fragment(path, id, range); // oxlint-disable-line no-await-in-loop -- one connection
      expect([first, status, received]).toEqual([first, 200, 20]);
    }
    await finish(20);
  });

  it("is acknowledged again when it is the last one", async () => {
    await client.fragment(path, id, part(0, TOTAL - 1));
    const { status, received } = await client.fragment(path, id, part(TOTAL - 10, TOTAL - 1));
    expect([status, received]).toEqual([200, TOTAL]);
    await finish(TOTAL);
  });

  it("that is refused leaves its connection in step, or closes it and says so", async () => {
    const wrong = packetBytes(
      { path, type: "Fragment", sessionId: id, body: new Uint8Array(MIB), headers: ["Content-Range: x"] },
      basic(ALICE),
    );
    const [refused, next] = await Promise.allSettled([
      client.raw.send(wrong),
      client.raw.send(packetBytes({ path, type: "Ping" }, basic(ALICE))),
    ]);
    if (refused.status === "rejected") throw refused.reason;
    expect(refused.value.status).toBe(400);
    const isClosing = refused.value.headers.get("connection")?.join().toLowerCase() === "close";
    const wanted = isClosing ? "none" : 200;
    expect(next.status === "fulfilled" ? next.value.status : "none").toBe(wanted);
  });

  it("waits for 100 Continue when its client asks for it, and is refused before its body comes", async () => {
    const expectation = "Expect: 100-continue";
    const good = fragmentPacket(path, id, part(0, 9));
    const head = packetBytes({
      ...good,
      body: "",
      contentLength: "10",
      headers: [...(good.headers ?? []), expectation],
    });
    const withUser = withAuthorization(head);
    const interim = await client.raw.send(withUser);
    expect(interim.status).toBe(100);
    expect((await client.raw.send(file.subarray(0, 10))).status).toBe(200);
    const stranger = await BitsConnection.open({ url: origin.httpUrl });
    expect((await stranger.raw.send(head)).status).toBe(401);
    stranger.close();
  });
});

/** Status and code: a number that no file reaches may have another one, and a NUL makes it no HTTP. */
function rangeRefusals(range: string): readonly string[] {
  const isHuge = /\d{16}/.test(range);
  return ["400 0x80070057", ...(isHuge ? ["500 0x80200020"] : []), ...(range.includes("\0") ? ["400 "] : [])];
}

function withAuthorization(head: Buffer): Buffer {
  return Buffer.from(head.toString("latin1").replace("\r\n\r\n", `\r\n${basic(ALICE)}\r\n\r\n`), "latin1");
}

describe("a broken connection", () => {
  it.each([0, 1, PART / 2, PART - 1])(
    "after %i bytes of a fragment keeps the session: the client goes on from its last acknowledged offset",
    async (sent) => {
      await client.fragment(path, id, part(0, PART - 1));
      const bytes = packetBytes(fragmentPacket(path, id, part(PART, 2 * PART - 1)), basic(ALICE));
      const broken = client.raw.send(bytes.subarray(0, bytes.length - PART + sent)).catch(() => "broken");
      await client.raw.flushed();
      client.close();
      expect(await broken).toBe("broken");
      const { status, received } = await resume(part(PART, 2 * PART - 1));
      expect([status, received]).toEqual([200, 2 * PART]);
      await finish(2 * PART);
    },
  );

  it("that nobody noticed does not keep the client out: a new one takes the session over", async () => {
    const bytes = packetBytes(fragmentPacket(path, id, part(0, PART - 1)), basic(ALICE));
    const silent = client.raw.send(bytes.subarray(0, bytes.length - PART / 2)).catch(() => undefined);
    await client.raw.flushed();
    const { status, received } = await resume(part(0, 2 * PART - 1));
    expect([status, received]).toEqual([200, 2 * PART]);
    client.close();
    await silent;
    await finish(2 * PART);
  });
});

describe("two connections", () => {
  it("that send one range at once: one of them wins whole", async () => {
    const fills = [0x41, 0x42];
    const clients = await Promise.all(fills.map(() => open()));
    const replies = await Promise.all(
      clients.map((each, i) =>
        each.fragment(path, id, { first: 0, total: MIB, bytes: new Uint8Array(MIB).fill(fills[i] ?? 0) }),
      ),
    );
    expect(replies.some(({ status, received }) => status === 200 && received === MIB)).toBe(true);
    for (const { status } of replies) expect([200, 400, 409, 416, 500, 503]).toContain(status);
    expect((await client.closeSession(path, id)).status).toBe(200);
    const { body } = await client.get(path);
    expect(fills.some((fill) => body.equals(Buffer.alloc(MIB, fill)))).toBe(true);
    for (const each of clients) each.close();
  });

  it("that each send every other fragment make one whole file", async () => {
    const other = await open();
    for (let first = 0; first < TOTAL; first += PART) {
      const turn = (first / PART) % 2 === 0 ? client : other;
      const { status, received } = await turn.fragment(path, id, part(first, first + PART - 1)); // oxlint-disable-line no-await-in-loop -- in turns
      expect([status, received]).toEqual([200, first + PART]);
    }
    other.close();
    await finish(TOTAL);
  });
});
