import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BITS_PROTOCOL, BitsConnection, basic, CODE, packetBytes } from "../testbed/bits-connection.js";
import { READER, stagedFiles, startBitsOrigin } from "../testbed/bits-origin.js";
import { ALICE } from "../testbed/local-accounts.js";
import { IMAGE, type OriginUnderTest } from "../testbed/origin-under-test.js";

/*
 * [MC-BUP] section 2.2 and 3.2.5: what every packet must look like, Ping and Create-Session. Over raw connections, so
 * that nothing of ours decides what is sent.
 */
const START_TIMEOUT_MS = 60_000;
const DIRECTORY = "/MEDVImages/";
const GUID = /^\{[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}\}$/;
const OTHER_PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4932}";
/** Windows' limit of a header's value ([MC-BUP] <2>). */
const MAX_VALUE = 4096;

let folder: string;
let origin: OriginUnderTest;
let client: BitsConnection;
let n = 0;
let path: string;

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
  path = `${DIRECTORY}Packet${n}_1.ckm`;
  client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
});

afterEach(() => client.close());

const create = (value: string) => client.tryCreate(path, value);

/** After a refusal the next request is read as a request, or the client was told that none will be. */
async function isInStep(headers: ReadonlyMap<string, readonly string[]>): Promise<boolean> {
  const isClosing = headers.get("connection")?.join().toLowerCase() === "close";
  return isClosing || (await client.ping(path)).status === 200;
}

describe("every packet", () => {
  it.each(["Ping", "PING", "ping", "pInG"])("has its type read in any case: %s", async (type) => {
    expect((await client.send({ path, type })).status).toBe(200);
  });

  it("has the names of its headers read in any case", async () => {
    const headers = ["bits-packet-TYPE: Create-Session", `bITS-supported-Protocols: ${BITS_PROTOCOL}`];
    expect((await client.send({ path, headers })).status).toBe(200);
  });

  it("may hold headers that nobody knows", async () => {
    const headers = ["X-Whatever: 1", "BITS-Whatever: 2", "Content-Name: Some name.ckm", "User-Agent: x"];
    expect((await client.send({ path, type: "Ping", headers })).status).toBe(200);
  });

  it("is refused with 400 without a type, and with one that nobody knows", async () => {
    for (const packet of [{ path }, { path, type: "Awesome-Message" }, { path, type: "" }]) {
      const { status, code } = await client.send(packet); // oxlint-disable-line no-await-in-loop -- one connection
      expect([status, code]).toEqual([400, CODE.invalidArgument]);
    }
  });

  it("is refused with 411 without Content-Length", async () => {
    const answer = await client.sendPlain({ path, type: "Ping", contentLength: null });
    expect(answer.status).toBe(411);
  });

  it("is refused when it is chunked, and its connection is closed or goes on in step", async () => {
    const answer = await client.sendPlain({
      path,
      type: "Ping",
      contentLength: null,
      headers: ["Transfer-Encoding: chunked"],
      body: "4\r\nPing\r\n0\r\n\r\n",
    });
    expect([400, 411, 501]).toContain(answer.status);
    expect(await isInStep(answer.headers)).toBe(true);
  });

  it.each(["+5", "-1", "0x5", "1e1", "5,5", "", "99999999999999999999"])(
    "is refused with Content-Length %j where that is no plain number",
    async (contentLength) => {
      const answer = await client.sendPlain({ path, type: "Ping", contentLength });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
    },
  );

  it("is refused with two lengths that differ, and with a length beside chunks", async () => {
    const answer = await client.sendPlain({ path, type: "Ping", headers: ["Content-Length: 5"] });
    expect(answer.status).toBe(400);
    const other = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    const both = await other.sendPlain({ path, type: "Ping", headers: ["Transfer-Encoding: chunked"] });
    expect([400, 411, 501]).toContain(both.status);
    other.close();
  });

  it.each(["Ping", "Create-Session", "Close-Session", "Cancel-Session"])(
    "but a fragment is refused with 400 when it has a body: %s",
    async (type) => {
      const sessionId =
        type.startsWith("C") && type !== "Create-Session" ? await client.create(path) : undefined;
      const { status, code, headers } = await client.send({
        path,
        type,
        body: "abcdefgh",
        headers: [`BITS-Supported-Protocols: ${BITS_PROTOCOL}`],
        ...(sessionId === undefined ? {} : { sessionId }),
      });
      expect([status, code]).toEqual([400, CODE.invalidArgument]);
      expect(await isInStep(headers)).toBe(true);
    },
  );

  it("is refused with 400 when the value of a header is longer than 4 KB", async () => {
    const name = "Content-Name: ";
    const { status, code } = await client.send({
      path,
      type: "Ping",
      headers: [name + "x".repeat(MAX_VALUE + 1)],
    });
    expect([status, code]).toEqual([400, CODE.invalidArgument]);
  });

  it.each(["Fragment", "Close-Session", "Cancel-Session"])(
    "of a session is refused with 400 without a session's id: %s",
    async (type) => {
      const { status, code } = await client.send({
        path,
        type,
        ...(type === "Fragment" ? { body: "x", headers: ["Content-Range: bytes 0-0/1"] } : {}),
      });
      expect([status, code]).toEqual([400, CODE.invalidArgument]);
    },
  );

  it.each(["Fragment", "Close-Session", "Cancel-Session"])(
    "of a session that is not there is answered 500 with BG_E_SESSION_NOT_FOUND: %s",
    async (type) => {
      for (const sessionId of [
        "{00000000-0000-4000-8000-000000000111}",
        "nonsense",
        "../../etc/passwd",
        "{}",
      ]) {
        // oxlint-disable-next-line no-await-in-loop -- one connection
        const { status, code } = await client.send({
          path,
          type,
          sessionId,
          ...(type === "Fragment" ? { body: "x", headers: ["Content-Range: bytes 0-0/1"] } : {}),
        });
        expect([sessionId, status, code]).toEqual([sessionId, 500, CODE.sessionNotFound]);
      }
    },
  );

  it("is answered in the order of requests that came in one piece, GETs between them", async () => {
    const get = `GET ${origin.packPath} HTTP/1.1\r\nHost: localhost\r\n${basic(ALICE)}\r\nRange: bytes=0-9\r\n\r\n`;
    const pings = packetBytes({ path, type: "Ping" }, basic(ALICE));
    const bad = packetBytes({ path, type: "Nonsense" }, basic(ALICE));
    const all = Buffer.concat([Buffer.from(get), pings, bad, Buffer.from(get), pings]);
    const answers = await Promise.all([client.raw.send(all), ...[1, 2, 3, 4].map(() => client.raw.send(""))]);
    expect(answers.map(({ status }) => status)).toEqual([206, 200, 400, 206, 200]);
  });

  it("may come in pieces of one byte", async () => {
    const bytes = packetBytes({ path, type: "Ping" }, basic(ALICE));
    const whole = client.raw.send(bytes.subarray(0, 1));
    for (let at = 1; at < bytes.length; at += 1) client.raw.write(bytes.subarray(at, at + 1));
    expect((await whole).status).toBe(200);
  });
});

describe("Ping", () => {
  it("is answered by a bare Ack, and leaves nothing behind", async () => {
    const { status, sessionId, received } = await client.ping(path);
    expect([status, sessionId, received]).toEqual([200, undefined, undefined]);
    expect((await client.get(path)).status).toBe(404);
  });
});

describe("Create-Session", () => {
  it("answers with the protocol, a new braced GUID and the coding identity", async () => {
    const { status, headers, sessionId } = await create(BITS_PROTOCOL);
    expect(status).toBe(200);
    expect(headers.get("bits-protocol")?.join().toLowerCase()).toBe(BITS_PROTOCOL);
    expect(headers.get("accept-encoding")).toEqual(["identity"]);
    expect(sessionId).toMatch(GUID);
    expect((await create(BITS_PROTOCOL)).sessionId).not.toBe(sessionId);
  });

  it("names no other host and no reply where none is configured", async () => {
    const { headers } = await create(BITS_PROTOCOL);
    expect(headers.has("bits-host-id")).toBe(false);
    expect(headers.has("bits-host-id-fallback-timeout")).toBe(false);
    expect(headers.has("bits-reply-url")).toBe(false);
  });

  it.each([
    ["upper case", BITS_PROTOCOL.toUpperCase()],
    ["after others, separated by blanks", `${OTHER_PROTOCOL} ${BITS_PROTOCOL}`],
    ["after others, separated by commas", `${OTHER_PROTOCOL},${BITS_PROTOCOL}`],
    ["after others, separated by both", `${OTHER_PROTOCOL} , ${BITS_PROTOCOL}`],
    ["before others", `${BITS_PROTOCOL} ${OTHER_PROTOCOL}`],
    ["as the hundredth", `${`${OTHER_PROTOCOL} `.repeat(99)}${BITS_PROTOCOL}`],
  ])("finds the protocol in a list: %s", async (_, protocols) => {
    expect((await create(protocols)).status).toBe(200);
  });

  it.each([
    ["empty", ""],
    ["another", OTHER_PROTOCOL],
    ["damaged", BITS_PROTOCOL.slice(0, -1)],
    ["without braces", BITS_PROTOCOL.slice(1, -1)],
  ])("refuses a list without the protocol with 400 and names none: %s", async (_, protocols) => {
    const { status, code, headers, sessionId } = await create(protocols);
    expect([status, code, sessionId]).toEqual([400, CODE.invalidArgument, undefined]);
    expect(headers.has("bits-protocol")).toBe(false);
  });

  it("refuses a packet without the list with 400", async () => {
    const { status, code } = await client.send({ path, type: "Create-Session" });
    expect([status, code]).toEqual([400, CODE.invalidArgument]);
  });

  it.each([DIRECTORY, DIRECTORY.slice(0, -1)])(
    "refuses the directory itself with 400: %s",
    async (target) => {
      const { status, code } = await client.tryCreate(target);
      expect([status, code]).toEqual([400, CODE.invalidArgument]);
    },
  );

  it.each(["/", "/elsewhere.ckm", "/Other/a_1.ckm", "/ckmesh/api/status"])(
    "refuses what lies outside the directory: %s",
    async (target) => {
      const answer = await client.sendPlain({
        path: target,
        type: "Create-Session",
        headers: [`BITS-Supported-Protocols: ${BITS_PROTOCOL}`],
      });
      expect([403, 404, 405, 501]).toContain(answer.status);
      expect(answer.headers.has("bits-session-id")).toBe(false);
    },
  );

  it("refuses a version that exists with 403 and E_ACCESSDENIED", async () => {
    for (const name of [`${IMAGE}_1.ckm`, `${IMAGE}_1.ckm.index`, `${IMAGE.toUpperCase()}_1.CKM`]) {
      const { status, code } = await client.tryCreate(DIRECTORY + name); // oxlint-disable-line no-await-in-loop -- one connection
      expect([name, status, code]).toEqual([name, 403, CODE.accessDenied]);
    }
  });

  it("refuses a user who may only read with 403 and E_ACCESSDENIED, never with 401", async () => {
    const reader = await BitsConnection.open({ url: origin.httpUrl }, basic(READER));
    const { status, code } = await reader.tryCreate(path);
    expect([status, code]).toEqual([403, CODE.accessDenied]);
    reader.close();
  });

  it("shows nothing at the URL before the session is closed", async () => {
    const id = await client.create(path);
    await client.fragment(path, id, { first: 0, total: 20, bytes: new Uint8Array(10) });
    expect((await client.get(path)).status).toBe(404);
    expect((await client.get("/ckmesh/catalogue")).body.toString()).not.toContain(`Packet${n}`);
  });

  it("makes no session for whoever did not log on", async () => {
    const before = stagedFiles(folder);
    const stranger = await BitsConnection.open({ url: origin.httpUrl });
    for (const type of ["Ping", "Create-Session", "Fragment", "Close-Session", "Cancel-Session"]) {
      // oxlint-disable-next-line no-await-in-loop -- one connection
      const answer = await stranger.sendPlain({
        path,
        type,
        sessionId: "{00000000-0000-4000-8000-000000000111}",
        headers: [`BITS-Supported-Protocols: ${BITS_PROTOCOL}`, "Content-Range: bytes 0-0/1"],
        body: type === "Fragment" ? "x" : "",
      });
      expect([type, answer.status]).toEqual([type, 401]);
      expect(answer.headers.get("www-authenticate")?.map((line) => line.split(" ")[0])).toEqual([
        "Negotiate",
        "NTLM",
        "Basic",
      ]);
      expect(answer.headers.has("bits-session-id")).toBe(false);
    }
    stranger.close();
    expect(stagedFiles(folder)).toEqual(before);
  });
});
