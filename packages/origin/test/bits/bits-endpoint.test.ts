import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { LEASE_MS } from "../../src/bits/space-leases.js";
import { refusedFile } from "./memory-intake.js";
import { BITS, brokenAfter, CHALLENGE, startUploads } from "./upload-fixture.js";

const NOT_FOUND = {
  "BITS-Error": "0x8020001F",
  "BITS-Error-Code": "0x8020001F",
  "BITS-Error-Context": "0x5",
};
const DENIED = "0x80070005";
const INVALID = "0x80070057";
const FULL = "0x80070070";

/** As logs and the audit have it. */
const key = (id: string): string => id.slice(1, -1).toLowerCase();

function bytes(length: number, seed = 1): Buffer {
  const made = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) made[i] = (i * seed) % 251;
  return made;
}

describe("a BITS upload", () => {
  it("goes by Create-Session, Fragments and Close-Session to the intake", async () => {
    const uploads = await startUploads();
    const file = bytes(1000);
    const created = await uploads.send({ type: "Create-Session" });
    expect(created).toMatchObject({
      status: 200,
      headers: { "BITS-Packet-Type": "Ack", "BITS-Protocol": BITS, "Accept-Encoding": "identity" },
    });
    const id = String(created.headers["BITS-Session-Id"]);
    expect(id).toMatch(/^\{[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}\}$/);
    expect((await uploads.fragment(id, 0, file.subarray(0, 600), 1000)).headers).toMatchObject({
      "BITS-Received-Content-Range": "600",
      "BITS-Session-Id": id,
    });
    expect((await uploads.fragment(id, 600, file.subarray(600), 1000)).headers).toMatchObject({
      "BITS-Received-Content-Range": "1000",
    });
    expect(await uploads.close(id)).toMatchObject({ status: 200, headers: { "BITS-Session-Id": id } });
    expect(uploads.published("win7_1.ckm")).toEqual(file);
    expect(readdirSync(join(uploads.staging, "sessions"))).toEqual([]);
  });

  it("tells the intake of every byte once and in order, whatever the chunks of the body", async () => {
    const uploads = await startUploads();
    const file = bytes(700_000, 7);
    const id = await uploads.create();
    function* chunks(): Iterable<Buffer> {
      for (let at = 0; at < file.length; at += 65_521) yield file.subarray(at, at + 65_521);
    }
    await uploads.fragment(id, 0, file, file.length, { body: chunks() });
    await uploads.close(id);
    const told = uploads.intake.followed[0]?.chunks ?? [];
    expect(Buffer.concat(told.map((chunk) => chunk.bytes)).equals(file)).toBe(true);
    expect(told.map(({ offset }) => offset)).toEqual([0, 262_144, 524_288]);
    expect(uploads.published("win7_1.ckm").equals(file)).toBe(true);
  });

  it("continues where the intake has filled to, and says what is missing", async () => {
    const uploads = await startUploads();
    uploads.intake.fill = async () => ({ received: 800, missing: [900, 999] });
    const id = await uploads.create();
    expect((await uploads.fragment(id, 0, bytes(100), 1000)).headers).toMatchObject({
      "BITS-Received-Content-Range": "800",
      "Ckmesh-Missing": "900-999",
    });
  });

  it("names the host that the client must use from now on", async () => {
    const uploads = await startUploads({
      bits: { BITSHostId: "node2.medv.test", BITSHostIdFallbackTimeout: 600 },
    });
    expect((await uploads.send({ type: "Create-Session" })).headers).toMatchObject({
      "BITS-Host-Id": "node2.medv.test",
      "BITS-Host-Id-Fallback-Timeout": "600",
    });
  });

  it("keeps the file when the intake fails for a moment, and ends the session when it refuses", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, bytes(10), 10);
    uploads.intake.closeFailure = new Error("the gate is closing");
    expect((await uploads.close(id)).status).toBe(500);
    uploads.intake.closeFailure = refusedFile();
    expect(await uploads.close(id)).toMatchObject({
      status: 409,
      headers: { "Ckmesh-Error": "ERR_UPLOAD_REFUSED" },
    });
    expect(readdirSync(join(uploads.staging, "sessions"))).toEqual([]);
    expect((await uploads.close(id)).status).toBe(409);
  });

  it("answers a repeated Close with 200, also after a restart", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, bytes(10), 10);
    await uploads.close(id);
    expect((await uploads.close(id)).status).toBe(200);
    const again = await startUploads({ before: uploads });
    expect((await again.close(id)).status).toBe(200);
  });

  it("publishes nothing and deletes the bytes when it is closed too early", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, bytes(5), 10);
    expect(await uploads.close(id)).toMatchObject({ status: 400, headers: { "BITS-Error-Code": INVALID } });
    expect(existsSync(uploads.intake.path("win7_1.ckm"))).toBe(false);
    expect(readdirSync(join(uploads.staging, "sessions"))).toEqual([]);
    expect(uploads.intake.followed[0]?.ended).toBe("discarded");
  });

  it("deletes everything on Cancel-Session", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, bytes(5), 10);
    const cancel = () => uploads.send({ type: "Cancel-Session", headers: { "bits-session-id": id } });
    expect((await cancel()).status).toBe(200);
    expect(readdirSync(join(uploads.staging, "sessions"))).toEqual([]);
    expect(await cancel()).toMatchObject({ status: 500, headers: NOT_FOUND });
    expect(await uploads.close(id)).toMatchObject({ status: 500, headers: NOT_FOUND });
  });
});

describe("who may upload", () => {
  it("asks for credentials before there is a session", async () => {
    const uploads = await startUploads();
    expect(await uploads.send({ type: "Create-Session", user: null })).toMatchObject({
      status: 401,
      headers: { "WWW-Authenticate": [CHALLENGE] },
    });
    expect(uploads.intake.admitted).toEqual([]);
    expect(readdirSync(uploads.staging)).toEqual([]);
  });

  it.each(["Ping", "Create-Session"])(
    "refuses %s to whoever has no right to change anything",
    async (type) => {
      const uploads = await startUploads();
      expect(await uploads.send({ type, user: "guest" })).toMatchObject({
        status: 403,
        headers: { "BITS-Error-Code": DENIED, "BITS-Error-Context": "0x5", "Persistent-Auth": "true" },
      });
      expect(uploads.audit).toMatchObject([
        { action: "upload", outcome: "refused", user: "guest", status: 403 },
      ]);
    },
  );

  it.each([
    ["of another user", { user: "bob" }],
    ["of another URL", { target: "/MEDVImages/other_1.ckm" }],
    ["of the folder", { target: "/MEDVImages/" }],
  ])("knows no session %s", async (_, packet) => {
    const uploads = await startUploads();
    const id = await uploads.create();
    expect(await uploads.fragment(id, 0, bytes(5), 10, packet)).toMatchObject({
      status: 500,
      headers: NOT_FOUND,
    });
    expect(await uploads.close(id, packet)).toMatchObject({ status: 500, headers: NOT_FOUND });
    expect((await uploads.fragment(id, 0, bytes(5), 10)).status).toBe(200);
  });

  it("takes other spellings of user, URL and id for the same", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    const packet = { user: "ALICE", target: "/medvimages/WIN7%5F1.ckm?job=1" };
    expect((await uploads.fragment(id.toLowerCase(), 0, bytes(5), 10, packet)).status).toBe(200);
  });

  it("does not check passwords, lengths or sessions of what is no message", async () => {
    const uploads = await startUploads();
    const answer = await uploads.send({ type: "Launch", user: null, contentLength: null });
    expect(answer).toMatchObject({ status: 400, headers: { "BITS-Error-Code": INVALID } });
  });

  it.each([
    ["without Content-Length", { type: "Ping", contentLength: null }, 411],
    [
      "for no protocol of ours",
      { type: "Create-Session", headers: { "bits-supported-protocols": "{1}" } },
      400,
    ],
    ["for a folder", { type: "Create-Session", target: "/MEDVImages/" }, 400],
    ["for a name that is none", { type: "Create-Session", target: "/MEDVImages/a.exe" }, 400],
  ])("refuses a packet %s", async (_, packet, status) => {
    const uploads = await startUploads();
    expect(await uploads.send(packet)).toMatchObject({ status, headers: { "BITS-Error-Code": INVALID } });
  });

  it("answers 501 outside the virtual directory, and everywhere while uploads are off", async () => {
    const uploads = await startUploads();
    const disabled = { status: 501, headers: { "BITS-Error-Code": DENIED } };
    expect(await uploads.send({ type: "Create-Session", target: "/other/win7_1.ckm" })).toMatchObject(
      disabled,
    );
    expect(await uploads.send({ type: "Create-Session", target: "/MEDVImages/a/win7_1.ckm" })).toMatchObject(
      disabled,
    );
    uploads.configure({ BITSUploadEnabled: false });
    expect(await uploads.send({ type: "Create-Session", user: null })).toMatchObject(disabled);
  });

  it.each([
    ["a wrong range", { "content-range": "bytes 5-9" }, 400],
    ["a coded body", { "content-encoding": "gzip" }, 415],
    ["another total", { "content-range": "bytes 5-9/11" }, 400],
  ])("says in the Ack to a Fragment with %s which byte is wanted", async (_, headers, status) => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, bytes(5), 10);
    expect(await uploads.fragment(id, 5, bytes(5), 10, { headers })).toMatchObject({
      status,
      headers: { "BITS-Error-Code": INVALID, "BITS-Received-Content-Range": "5" },
    });
  });

  it("answers Ping once the right is there, without a session", async () => {
    const uploads = await startUploads();
    const answer = await uploads.send({ type: "Ping" });
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty("BITS-Session-Id");
  });

  it("refuses what exists with 403, and creates nothing", async () => {
    const uploads = await startUploads();
    uploads.intake.existing.add("win7_1.ckm");
    expect(await uploads.send({ type: "Create-Session" })).toMatchObject({
      status: 403,
      headers: { "BITS-Error-Code": DENIED },
    });
    expect(readdirSync(join(uploads.staging, "sessions"))).toEqual([]);
  });

  it("writes down who created, closed, cancelled and was refused", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.close(id);
    const second = await uploads.create();
    await uploads.send({ type: "Cancel-Session", headers: { "bits-session-id": second } });
    const third = await uploads.create();
    await uploads.fragment(third, 0, bytes(9), 9);
    await uploads.close(third);
    expect(uploads.audit).toMatchObject([
      { outcome: "created", user: "alice", file: "win7_1.ckm", session: key(id) },
      { outcome: "refused", user: "alice", session: key(id), status: 400, code: "ERR_BITS_PACKET_INVALID" },
      { outcome: "created", session: key(second) },
      { outcome: "cancelled", session: key(second), bytes: 0 },
      { outcome: "created", session: key(third) },
      { outcome: "closed", bytes: 9 },
    ]);
  });
});

describe("space for uploads", () => {
  it("refuses a session and a fragment with disk full, and goes on when there is space", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    uploads.configure({ freeSpaceReserve: "900000TB" });
    const full = { status: 500, headers: { "BITS-Error-Code": FULL } };
    expect(await uploads.send({ type: "Create-Session" })).toMatchObject(full);
    expect(await uploads.fragment(id, 0, bytes(5), 5)).toMatchObject({
      ...full,
      headers: { ...full.headers, "BITS-Received-Content-Range": "0" },
    });
    uploads.configure({});
    expect((await uploads.fragment(id, 0, bytes(5), 5)).status).toBe(200);
    expect((await uploads.close(id)).status).toBe(200);
  });

  it("counts sessions and what the intake holds against the quota", async () => {
    const uploads = await startUploads({ bits: { stagingQuota: "1000" } });
    const first = await uploads.create();
    await uploads.fragment(first, 0, bytes(600), 600);
    const second = await uploads.create();
    expect((await uploads.fragment(second, 0, bytes(10), 401)).status).toBe(500);
    expect((await uploads.fragment(second, 0, bytes(10), 400)).status).toBe(400);
    const third = await uploads.create();
    uploads.intake.held = 1;
    expect((await uploads.fragment(third, 0, bytes(10), 400)).status).toBe(500);
    uploads.intake.held = 0;
    expect((await uploads.fragment(third, 0, bytes(10), 400)).status).toBe(200);
  });
});

describe("two uploads that fit only one after the other", () => {
  it("do not stop each other: the second gets disk full before its first byte, and goes on after the first", async () => {
    const uploads = await startUploads({ bits: { stagingQuota: "1000" } });
    const [first, second] = [await uploads.create(), await uploads.create()];
    expect((await uploads.fragment(first, 0, bytes(300), 600)).status).toBe(200);
    expect(await uploads.fragment(second, 0, bytes(10), 600)).toMatchObject({
      status: 500,
      headers: { "BITS-Error-Code": FULL, "BITS-Received-Content-Range": "0" },
    });
    expect((await uploads.fragment(first, 300, bytes(300), 600)).status).toBe(200);
    expect((await uploads.close(first)).status).toBe(200);
    expect((await uploads.fragment(second, 0, bytes(600), 600)).status).toBe(200);
  });

  it("give way to others while they are silent, and the last that began can go on", async () => {
    const clock = new VirtualClock();
    const uploads = await startUploads({ bits: { stagingQuota: "1000" }, clock });
    const [first, second] = [await uploads.create(), await uploads.create()];
    expect((await uploads.fragment(first, 0, bytes(300), 600)).status).toBe(200);
    clock.advance(LEASE_MS);
    expect((await uploads.fragment(second, 0, bytes(500), 600)).status).toBe(200);
    expect((await uploads.fragment(first, 300, bytes(300), 600)).status, "300 + 600 are promised").toBe(500);
    clock.advance(LEASE_MS);
    expect((await uploads.fragment(first, 300, bytes(300), 600)).status, "500 + 600").toBe(500);
    expect((await uploads.fragment(second, 500, bytes(100), 600)).status).toBe(200);
    expect((await uploads.close(second)).status).toBe(200);
    expect((await uploads.fragment(first, 300, bytes(300), 600)).status).toBe(200);
  });
});

describe("a connection that breaks", () => {
  it("leaves what came, and the next fragment is trimmed", async () => {
    const uploads = await startUploads();
    const file = bytes(1000, 3);
    const id = await uploads.create();
    const cut = uploads.fragment(id, 0, file.subarray(0, 500), 1000, {
      body: brokenAfter(file.subarray(0, 300)),
    });
    await expect(cut).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect((await uploads.fragment(id, 301, file.subarray(301), 1000)).headers).toMatchObject({
      "BITS-Received-Content-Range": "300",
    });
    expect((await uploads.fragment(id, 0, file, 1000)).headers).toMatchObject({
      "BITS-Received-Content-Range": "1000",
    });
    await uploads.close(id);
    expect(uploads.published("win7_1.ckm")).toEqual(file);
  });
});
