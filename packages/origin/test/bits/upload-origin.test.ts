import { readdirSync, readFileSync } from "node:fs";
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http";
import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import { describe, expect, it, onTestFinished } from "vitest";
import { type MadePair, makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";
import { BITS } from "./upload-fixture.js";

const PAIR = makePair({ name: "win7", version: 1 });
const PACK = "/MEDVImages/win7_1.ckm";

interface BitsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

interface Uploader {
  readonly origin: TestOrigin;
  readonly send: (
    type: string,
    target: string,
    headers?: OutgoingHttpHeaders,
    body?: Uint8Array,
  ) => Promise<BitsAnswer>;
  readonly create: (target: string) => Promise<string>;
  readonly upload: (target: string, bytes: Uint8Array) => Promise<BitsAnswer>;
}

function basic(user: string): OutgoingHttpHeaders {
  return { authorization: `Basic ${Buffer.from(`${user}:right`).toString("base64")}` };
}

/** Anonymous reading, Basic over HTTP; alice may upload, bob may log on. */
async function startUploader(
  flags: Readonly<Record<string, unknown>> = {},
  folder = temporaryFolder(),
): Promise<Uploader> {
  const accountsFile = join(folder, "accounts.yaml");
  await addAccount(accountsFile, "alice", "right");
  await addAccount(accountsFile, "bob", "right");
  const origin = await startTestOrigin({
    folder,
    flags: {
      "authentication.basic.allowOverHttp": true,
      "authentication.accountsFile": accountsFile,
      "rights.change": ["alice"],
      "bits.BITSUploadEnabled": true,
      "bits.freeSpaceReserve": "",
      ...flags,
    },
  });
  const base = new URL(origin.origin.urls[0] ?? "");
  const send: Uploader["send"] = (type, target, headers = basic("alice"), body = new Uint8Array()) =>
    new Promise((resolve, reject) => {
      const request = httpRequest({
        method: "BITS_POST",
        host: base.hostname,
        port: base.port,
        path: target,
        agent: false,
        headers: { "BITS-Packet-Type": type, "Content-Length": body.length, ...headers },
      });
      request.on("error", reject);
      request.on("response", (response) => {
        response.resume();
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
      });
      request.end(body);
    });
  const create = async (target: string): Promise<string> => {
    const protocols = { "BITS-Supported-Protocols": BITS };
    const { headers } = await send("Create-Session", target, { ...basic("alice"), ...protocols });
    return String(headers["bits-session-id"]);
  };
  return {
    origin,
    send,
    create,
    upload: async (target, bytes) => {
      const id = { ...basic("alice"), "BITS-Session-Id": await create(target) };
      const range = { "Content-Range": `bytes 0-${bytes.length - 1}/${bytes.length}` };
      await send("Fragment", target, { ...id, ...range }, bytes);
      return send("Close-Session", target, id);
    },
  };
}

function auditOf({ state }: TestOrigin): readonly Record<string, unknown>[] {
  const lines = readFileSync(join(state, "audit.ndjson"), "utf8").trim().split("\n");
  return lines.map((line): Record<string, unknown> => JSON.parse(line));
}

/** Lines of the request log. */
function uploadsLogged({ state }: TestOrigin): readonly string[] {
  const logs = join(state, "logs");
  return readdirSync(logs)
    .flatMap((file) => readFileSync(join(logs, file), "utf8").split("\n"))
    .filter((line) => line.includes(" BITS_POST "));
}

async function expectPublished({ origin }: Uploader, pair: MadePair): Promise<void> {
  await origin.published("win7", 1);
  expect((await origin.get(PACK)).body.equals(pair.pack)).toBe(true);
  expect((await origin.get(`${PACK}.index`)).body.equals(pair.index)).toBe(true);
}

describe("uploads to an origin", () => {
  it("become a version when pack and index are there", async () => {
    const uploader = await startUploader();
    expect((await uploader.upload(`${PACK}.index`, PAIR.index)).status).toBe(200);
    expect((await uploader.upload(PACK, PAIR.pack)).status).toBe(200);
    await expectPublished(uploader, PAIR);
    await uploader.origin.origin.close();
    expect(auditOf(uploader.origin).filter(({ action }) => action !== "logon")).toMatchObject([
      { action: "upload", outcome: "created", user: "alice", address: "127.0.0.1", file: "win7_1.ckm.index" },
      { action: "upload", outcome: "closed", bytes: PAIR.index.length },
      { action: "upload", outcome: "created", file: "win7_1.ckm" },
      { action: "publish", by: "upload", user: "alice", image: "win7", version: 1 },
      { action: "upload", outcome: "closed", bytes: PAIR.pack.length },
    ]);
    const requests = uploadsLogged(uploader.origin);
    expect(requests).toHaveLength(6);
    expect(requests[0]).toContain(` BITS_POST ${PACK}.index - `);
    expect(requests.every((line) => line.includes(" alice 127.0.0.1 ") && line.includes(" 200 0 "))).toBe(
      true,
    );
  });

  it("are taken away by DELETE while they are received", async () => {
    const { origin, send, create } = await startUploader();
    const id = await create(PACK);
    const headers = { ...basic("alice"), "X-Ckmesh": "1" };
    const target = `/ckmesh/api/uploads/${id.slice(1, -1)}`;
    expect((await origin.get(target, headers, "DELETE")).status).toBe(200);
    expect((await origin.get(target, headers, "DELETE")).status).toBe(404);
    expect(await send("Close-Session", PACK, { ...basic("alice"), "BITS-Session-Id": id })).toMatchObject({
      status: 500,
      headers: { "bits-error-code": "0x8020001F" },
    });
  });

  it("ask for credentials where everybody may read, and need the right to change", async () => {
    const { send, origin } = await startUploader();
    const anonymous = await send("Create-Session", PACK, { "BITS-Supported-Protocols": BITS });
    expect(anonymous).toMatchObject({
      status: 401,
      headers: { "www-authenticate": 'Basic realm="MEDV", charset="UTF-8"', "content-length": "0" },
    });
    expect(await send("Ping", PACK, basic("bob"))).toMatchObject({
      status: 403,
      headers: { "bits-packet-type": "Ack", "bits-error-code": "0x80070005" },
    });
    expect(readdirSync(origin.state)).not.toContain("uploads/sessions");
    expect((await send("Ping", PACK)).status).toBe(200);
  });

  it("go on after a restart of the origin", async () => {
    const folder = temporaryFolder();
    const before = await startUploader({}, folder);
    await before.upload(`${PACK}.index`, PAIR.index);
    const id = { ...basic("alice"), "BITS-Session-Id": await before.create(PACK) };
    const total = PAIR.pack.length;
    const half = Math.floor(total / 2);
    const first = { "Content-Range": `bytes 0-${half - 1}/${total}` };
    await before.send("Fragment", PACK, { ...id, ...first }, PAIR.pack.subarray(0, half));
    await before.origin.origin.close();
    const after = await startUploader({}, folder);
    const rest = { "Content-Range": `bytes ${half}-${total - 1}/${total}` };
    expect(await after.send("Fragment", PACK, { ...id, ...rest }, PAIR.pack.subarray(half))).toMatchObject({
      status: 200,
      headers: { "bits-received-content-range": String(total) },
    });
    expect((await after.send("Close-Session", PACK, id)).status).toBe(200);
    await expectPublished(after, PAIR);
  });

  it("can be switched off and on while the origin runs", async () => {
    const { origin, send } = await startUploader();
    const { bits } = origin.config;
    const off = { ...origin.config, bits: { ...bits, BITSUploadEnabled: false, BITSHostId: "node1" } };
    const plan = await origin.origin.reload(off);
    expect(plan).toEqual({ changed: ["bits.BITSUploadEnabled", "bits.BITSHostId"], restart: [] });
    expect((await send("Ping", PACK)).status).toBe(501);
    await origin.origin.reload(origin.config);
    expect((await send("Ping", PACK)).status).toBe(200);
  });

  it("are off by default", async () => {
    const { send } = await startUploader({ "bits.BITSUploadEnabled": false });
    expect(await send("Create-Session", PACK, {})).toMatchObject({
      status: 501,
      headers: { "bits-packet-type": "Ack", "bits-error": "0x80070005", "bits-error-context": "0x5" },
    });
  });

  it("keep an origin from starting when nothing could be published from the staging folder", async () => {
    await expect(startUploader({ "bits.stagingPath": "/dev/null/uploads" })).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
    });
  });

  it("bring what a program answers to their user, by the client's own URL, with ranges", async () => {
    const program = createServer((request, response) => {
      request.resume();
      request.on("end", () => response.end("signed receipt"));
    });
    await new Promise<void>((resolve) => {
      program.listen(0, "127.0.0.1", resolve);
    });
    onTestFinished(() => {
      program.close();
    });
    const address = program.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { origin, send, create } = await startUploader({
      "bits.BITSServerNotificationType": 2,
      "bits.BITSServerNotificationURL": `http://127.0.0.1:${port}/`,
    });
    const id = { ...basic("alice"), "BITS-Session-Id": await create(PACK) };
    const range = { "Content-Range": "bytes 0-2/3" };
    const { headers } = await send("Fragment", PACK, { ...id, ...range }, Buffer.from("abc"));
    const reply = new URL(String(headers["bits-reply-url"]));
    expect(reply.host).toBe(new URL(origin.origin.urls[0] ?? "").host);
    const got = await origin.get(reply.pathname, { ...basic("alice"), range: "bytes=0-5" });
    expect([got.status, got.body.toString()]).toEqual([206, "signed"]);
    expect((await origin.get(reply.pathname, basic("alice"), "HEAD")).headers["content-length"]).toBe("14");
    expect((await origin.get(reply.pathname, basic("bob"))).status).toBe(404);
    expect((await origin.get(reply.pathname)).status).toBe(404);
    expect((await send("Close-Session", PACK, id)).status).toBe(200);
    await eventually(async () => (await origin.get(reply.pathname, basic("alice"))).status === 404);
  });
});
