import { AppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { outOfStep } from "../src/bits-fault.js";
import {
  accessDenied,
  type BitsAnswer,
  BitsFault,
  type BitsPacket,
  type BitsReply,
  contentLengthMissing,
  decodeReply,
  diskFull,
  ERROR_CONTEXT,
  encodeReply,
  fragmentTooLarge,
  type HeaderFields,
  invalidPacket,
  refusal,
  serverFailed,
  sessionNotFound,
  tooManySessions,
  uploadsDisabled,
  uploadTooLarge,
  uploadVanished,
} from "../src/index.js";
import { codeOf, outcomeOf } from "./thrown.js";

const SESSION = "{0B6CF2A0-1D52-4D39-A1B4-3C0C9A2F77E1}";

function asReceived({ headers }: BitsAnswer): HeaderFields {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

describe("the Ack", () => {
  it("to Ping names no session", () => {
    expect(encodeReply({ type: "ack" })).toEqual({ status: 200, headers: { "BITS-Packet-Type": "Ack" } });
  });

  it("to Close-Session and Cancel-Session repeats the session id as the client wrote it", () => {
    expect(encodeReply({ type: "ack" }, SESSION.toLowerCase())).toEqual({
      status: 200,
      headers: { "BITS-Packet-Type": "Ack", "BITS-Session-Id": SESSION.toLowerCase() },
    });
  });

  it("to Create-Session has protocol, session and Accept-Encoding, and no host without load balancing", () => {
    expect(encodeReply({ type: "created", sessionId: SESSION })).toEqual({
      status: 200,
      headers: {
        "BITS-Packet-Type": "Ack",
        "BITS-Protocol": "{7df0354d-249b-430f-820d-3d2a9bef4931}",
        "BITS-Session-Id": SESSION,
        "Accept-Encoding": "identity",
      },
    });
  });

  it("to Create-Session names the host and its time-out, both, with load balancing", () => {
    const host = { name: "node2.example.net", fallbackSeconds: 86_400 };
    expect(encodeReply({ type: "created", sessionId: SESSION, host }).headers).toMatchObject({
      "BITS-Host-Id": "node2.example.net",
      "BITS-Host-Id-Fallback-Timeout": "86400",
    });
  });

  it("to a Fragment states the next byte wanted as one number, and no reply URL for plain uploads", () => {
    expect(encodeReply({ type: "received", received: 65_536 }, SESSION)).toEqual({
      status: 200,
      headers: {
        "BITS-Packet-Type": "Ack",
        "BITS-Session-Id": SESSION,
        "BITS-Received-Content-Range": "65536",
      },
    });
  });

  it("to a Fragment names the missing run, and the reply URL when there is one", () => {
    const reply = { type: "received", received: 7, missing: [9, 12], replyUrl: "/replies/1" } as const;
    expect(encodeReply(reply, SESSION).headers).toMatchObject({
      "Ckmesh-Missing": "9-12",
      "BITS-Reply-URL": "/replies/1",
    });
  });

  it.each([
    ["an unknown session", sessionNotFound(), 500, "0x8020001F", "ERR_BITS_SESSION_NOT_FOUND"],
    ["a missing right", accessDenied("no"), 403, "0x80070005", "ERR_AUTH_FORBIDDEN"],
    [
      "a version that exists",
      accessDenied("it is there", "ERR_IMAGE_EXISTS"),
      403,
      "0x80070005",
      "ERR_IMAGE_EXISTS",
    ],
    ["uploads that are not enabled", uploadsDisabled(), 501, "0x80070005", "ERR_UPLOAD_DISABLED"],
    ["a bad packet", invalidPacket("bad"), 400, "0x80070057", "ERR_BITS_PACKET_INVALID"],
    ["no Content-Length", contentLengthMissing(), 411, "0x80070057", "ERR_BITS_PACKET_INVALID"],
    ["a file above the limit", uploadTooLarge(11, 10), 500, "0x80200020", "ERR_UPLOAD_TOO_LARGE"],
    ["a full disk", diskFull(), 500, "0x80070070", "ERR_STORE_FULL"],
  ])(
    "to %s has the HRESULT under both names and the context of a server",
    (_, fault, status, hresult, code) => {
      expect(encodeReply(refusal(fault), SESSION)).toEqual({
        status,
        headers: {
          "BITS-Packet-Type": "Ack",
          "BITS-Session-Id": SESSION,
          "BITS-Error": hresult,
          "BITS-Error-Code": hresult,
          "BITS-Error-Context": "0x5",
          "Ckmesh-Error": code,
        },
      });
    },
  );

  it.each([
    ["a gap", outOfStep(9, 5), 416],
    ["a fragment that is too long", fragmentTooLarge(9, 5), 413],
    ["bytes that are gone", uploadVanished(), 404],
    ["a fault of ours", serverFailed(new Error("boom")), 500],
  ])("to %s has no HRESULT: the status says it all", (_, fault, status) => {
    const answer = encodeReply(refusal(fault), SESSION);
    expect(answer.status).toBe(status);
    expect(Object.keys(answer.headers)).toEqual(["BITS-Packet-Type", "BITS-Session-Id", "Ckmesh-Error"]);
  });

  it("to a refused Fragment states the next byte wanted", () => {
    expect(encodeReply(refusal(outOfStep(9, 5), 5), SESSION)).toMatchObject({
      status: 416,
      headers: { "BITS-Received-Content-Range": "5" },
    });
  });

  it("says when to come again", () => {
    expect(encodeReply(refusal(tooManySessions(60)))).toMatchObject({
      status: 503,
      headers: { "Retry-After": "60" },
    });
  });

  it("says when the application behind the server refused", () => {
    const fault = new BitsFault("ERR_UPLOAD_REFUSED", "no", {
      status: 500,
      hresult: 0x80070005,
      context: ERROR_CONTEXT.application,
    });
    expect(encodeReply(refusal(fault)).headers).toMatchObject({ "BITS-Error-Context": "0x7" });
  });

  it("never carries the words of an error", () => {
    const answer = encodeReply(refusal(serverFailed(new Error("ENOENT /srv/secret"))), SESSION);
    expect(JSON.stringify(answer)).not.toContain("secret");
  });

  it.each<[BitsPacket["type"], BitsReply]>([
    ["ping", { type: "ack" }],
    ["create", { type: "created", sessionId: SESSION }],
    ["create", { type: "created", sessionId: SESSION, host: { name: "n2", fallbackSeconds: 60 } }],
    ["fragment", { type: "received", received: 0 }],
    ["fragment", { type: "received", received: Number.MAX_SAFE_INTEGER, missing: [5, 9] }],
    ["close", { type: "ack" }],
    ["cancel", { type: "ack" }],
    [
      "close",
      { type: "refused", status: 500, hresult: 0x8020001f, context: 5, code: "ERR_BITS_SESSION_NOT_FOUND" },
    ],
    ["fragment", { type: "refused", status: 416, received: 5 }],
    ["create", { type: "refused", status: 503, retryAfterSeconds: 60 }],
  ])("to %s is read by the client as it was meant", (type, reply) => {
    const answer = encodeReply(reply, SESSION);
    expect(decodeReply(type, answer.status, asReceived(answer))).toEqual(reply);
  });
});

describe("an answer at the client", () => {
  const ack = { "bits-packet-type": "ack" };
  const created = {
    ...ack,
    "bits-protocol": "{7DF0354D-249b-430f-820d-3d2a9bef4931}",
    "bits-session-id": "any header-legal-id".replaceAll(" ", "-"),
  };

  it("to Create-Session may be 201", () => {
    expect(decodeReply("create", 201, created)).toEqual({
      type: "created",
      sessionId: "any-header-legal-id",
    });
  });

  it.each<[string, Parameters<typeof decodeReply>]>([
    ["without Ack", ["ping", 200, {}]],
    ["that is a redirection", ["ping", 302, { location: "http://elsewhere/" }]],
    ["201 to a Fragment", ["fragment", 201, { ...ack, "bits-received-content-range": "5" }]],
    ["204", ["ping", 204, ack]],
    ["to a Fragment without offset", ["fragment", 200, ack]],
    ["to a Fragment with a range", ["fragment", 200, { ...ack, "bits-received-content-range": "0-5" }]],
    [
      "with an offset beyond safe integers",
      ["fragment", 200, { ...ack, "bits-received-content-range": "9007199254740992" }],
    ],
    [
      "with a missing run reversed",
      ["fragment", 200, { ...ack, "bits-received-content-range": "5", "ckmesh-missing": "9-5" }],
    ],
    [
      "with two missing runs",
      ["fragment", 200, { ...ack, "bits-received-content-range": "5", "ckmesh-missing": "5-6, 8-9" }],
    ],
    ["with another protocol", ["create", 200, { ...created, "bits-protocol": "{0}" }]],
    ["without protocol", ["create", 200, { ...created, "bits-protocol": undefined }]],
    ["without session id", ["create", 200, { ...created, "bits-session-id": "" }]],
    [
      "with a session id of 101 characters",
      ["create", 200, { ...created, "bits-session-id": "x".repeat(101) }],
    ],
    [
      "with a session id that no header takes",
      ["create", 200, { ...created, "bits-session-id": "a\r\nb: c" }],
    ],
    ["with a host of 301 characters", ["create", 200, { ...created, "bits-host-id": "x".repeat(301) }]],
  ])("%s is ERR_ORIGIN_INVALID", (_, args) => {
    expect(codeOf(() => decodeReply(...args))).toBe("ERR_ORIGIN_INVALID");
  });

  it("takes session ids of 100 characters and hosts of 300", () => {
    const [sessionId, name] = ["x".repeat(100), "y".repeat(300)];
    const headers = { ...created, "bits-session-id": sessionId, "bits-host-id": name };
    expect(decodeReply("create", 200, headers)).toEqual({
      type: "created",
      sessionId,
      host: { name, fallbackSeconds: 0 },
    });
  });

  it.each([
    [{ "bits-error-code": "0x8020001F" }, 0x8020001f],
    [{ "bits-error": "0x8020001f" }, 0x8020001f],
    [{ "bits-error": "0x80070057", "bits-error-code": "0x8020001F" }, 0x8020001f],
    [{ "bits-error-code": "0x0" }, undefined],
    [{ "bits-error-code": "2149580831" }, undefined],
    [{ "bits-error-code": "0x180200020" }, undefined],
    [{}, undefined],
  ])("has the HRESULT of %j", (headers, hresult) => {
    const reply = { type: "refused", status: 500, hresult };
    expect(decodeReply("close", 500, headers)).toEqual(reply);
  });

  it("knows only codes of ours, and waits no longer than a day", () => {
    const headers = { "ckmesh-error": "ERR_MADE_UP", "retry-after": "999999999" };
    expect(decodeReply("create", 503, headers)).toEqual({
      type: "refused",
      status: 503,
      retryAfterSeconds: 86_400,
    });
  });

  it("is a reply or an AppError, whatever the headers", () => {
    const value = fc.option(fc.oneof(fc.string(), fc.array(fc.string())), { nil: undefined });
    const headers = fc.record({
      "bits-packet-type": fc.oneof(value, fc.constant("Ack")),
      "bits-session-id": value,
      "bits-protocol": value,
      "bits-received-content-range": value,
      "bits-error-code": value,
      "ckmesh-missing": value,
      "ckmesh-error": value,
      "retry-after": value,
    });
    const type = fc.constantFrom("ping", "create", "fragment", "close", "cancel");
    fc.assert(
      fc.property(type, fc.integer({ min: 100, max: 599 }), headers, (packet, status, fields) => {
        const outcome = outcomeOf(() => decodeReply(packet, status, fields));
        expect(outcome instanceof AppError || "type" in outcome).toBe(true);
      }),
    );
  });
});
