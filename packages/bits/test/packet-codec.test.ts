import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BitsFault,
  type BitsPacket,
  encodePacket,
  type HeaderFields,
  HRESULT,
  parsePacket,
  parsePacketHead,
  requireContentLength,
} from "../src/index.js";
import { MAX_HEADER_VALUE_BYTES } from "../src/packet-codec.js";
import { BITS_PROTOCOL, MAX_PROTOCOLS } from "../src/protocol-list.js";
import { faultOf, outcomeOf } from "./thrown.js";

const SESSION = "{0B6CF2A0-1D52-4D39-A1B4-3C0C9A2F77E1}";
const INVALID = { code: "ERR_BITS_PACKET_INVALID", status: 400, hresult: HRESULT.invalidArgument };

/** As Node gives them: names in lower case. */
function asReceived(fields: Readonly<Record<string, string>>): HeaderFields {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));
}

function parse(headers: HeaderFields, contentLength?: number): BitsPacket {
  const head = parsePacketHead(headers);
  return parsePacket(head, headers, requireContentLength(head, contentLength));
}

describe("packets", () => {
  const packets: readonly BitsPacket[] = [
    { type: "ping" },
    { type: "create" },
    { type: "fragment", sessionId: SESSION, fragment: { first: 0, last: 65_535, total: 150_000 } },
    { type: "close", sessionId: SESSION },
    { type: "cancel", sessionId: SESSION },
  ];

  it.each(packets)("of type $type come back from their headers", (packet) => {
    const fields = encodePacket(packet);
    expect(parse(asReceived(fields), Number(fields["Content-Length"]))).toEqual(packet);
  });

  it("are those of [MC-BUP]'s example, byte for byte", () => {
    expect(packets.map((packet) => encodePacket(packet))).toEqual([
      { "BITS-Packet-Type": "Ping", "Content-Length": "0" },
      {
        "BITS-Packet-Type": "Create-Session",
        "BITS-Supported-Protocols": "{7df0354d-249b-430f-820d-3d2a9bef4931}",
        "Content-Length": "0",
      },
      {
        "BITS-Packet-Type": "Fragment",
        "BITS-Session-Id": SESSION,
        "Content-Range": "bytes 0-65535/150000",
        "Content-Length": "65536",
      },
      { "BITS-Packet-Type": "Close-Session", "BITS-Session-Id": SESSION, "Content-Length": "0" },
      { "BITS-Packet-Type": "Cancel-Session", "BITS-Session-Id": SESSION, "Content-Length": "0" },
    ]);
  });

  it.each(["FRAGMENT", "fragment", "Fragment", " Fragment "])("may name their type %j", (type) => {
    const headers = { "bits-packet-type": type, "bits-session-id": SESSION, "content-range": "bytes 0-1/2" };
    expect(parse(headers, 2)).toMatchObject({ type: "fragment" });
  });

  it.each([
    ["no type", {}],
    ["an empty type", { "bits-packet-type": "" }],
    ["an unknown type", { "bits-packet-type": "Upload" }],
    ["a server's type", { "bits-packet-type": "Ack" }],
    ["the type under the name of [MC-BUP]'s slip", { "bits-package-type": "Ping" }],
    ["two types", { "bits-packet-type": "Ping, Ping" }],
    ["a type in two fields", { "bits-packet-type": ["Ping", "Ping"] }],
    ["a name of an object's own", { "bits-packet-type": "constructor" }],
    ["a fragment without session id", { "bits-packet-type": "Fragment" }],
    ["a Close-Session without session id", { "bits-packet-type": "Close-Session" }],
    [
      "a Cancel-Session with an empty session id",
      { "bits-packet-type": "Cancel-Session", "bits-session-id": " " },
    ],
  ])("with %s are answered 400 and E_INVALIDARG", (_, headers) => {
    expect(faultOf(() => parsePacketHead(headers))).toMatchObject(INVALID);
  });

  it("may have header values of 4096 bytes, known and unknown, and not one more", () => {
    const ping = { "bits-packet-type": "Ping" };
    const value = "x".repeat(MAX_HEADER_VALUE_BYTES);
    expect(parse({ ...ping, "content-name": value, "x-other": [value, value] }, 0)).toEqual({ type: "ping" });
    expect(faultOf(() => parsePacketHead({ ...ping, "content-name": `${value}x` }))).toMatchObject(INVALID);
    expect(faultOf(() => parsePacketHead({ ...ping, "x-other": ["", `${value}x`] }))).toMatchObject(INVALID);
  });

  it("may have credentials of any length", () => {
    const authorization = `Negotiate ${"A".repeat(60_000)}`;
    expect(parse({ "bits-packet-type": "Ping", authorization }, 0)).toEqual({ type: "ping" });
  });

  it("are found well-formed before their length, session and range are looked at", () => {
    const headers = {
      "bits-packet-type": "Fragment",
      "bits-session-id": "none of ours",
      "content-range": "nonsense",
    };
    expect(parsePacketHead(headers)).toEqual({ type: "fragment", sessionId: "none of ours" });
  });

  it.each(["ping", "create", "fragment", "close", "cancel"] as const)(
    "of type %s without Content-Length are answered 411 and E_INVALIDARG",
    (type) => {
      expect(faultOf(() => requireContentLength({ type, sessionId: SESSION }, undefined))).toMatchObject({
        ...INVALID,
        status: 411,
      });
    },
  );

  it.each(["ping", "create", "close", "cancel"] as const)("of type %s must not have a body", (type) => {
    expect(requireContentLength({ type, sessionId: SESSION }, 0)).toBe(0);
    expect(faultOf(() => requireContentLength({ type, sessionId: SESSION }, 1))).toMatchObject(INVALID);
  });

  it("are a packet or a BitsFault, whatever the headers", () => {
    const type = fc.oneof(
      fc.string(),
      fc.constantFrom("Ping", "Create-Session", "FRAGMENT", "Close-Session"),
    );
    const value = fc.option(fc.oneof(fc.string(), fc.array(fc.string())), { nil: undefined });
    const headers = fc.record({
      "bits-packet-type": type,
      "bits-session-id": value,
      "bits-supported-protocols": value,
      "content-range": value,
      "content-encoding": value,
    });
    fc.assert(
      fc.property(headers, fc.option(fc.nat(), { nil: undefined }), (fields, length) => {
        const outcome = outcomeOf(() => parse(fields, length));
        expect(outcome instanceof BitsFault || "type" in outcome).toBe(true);
      }),
    );
  });
});

describe("a Fragment", () => {
  const head = { type: "fragment", sessionId: SESSION } as const;
  const range = { "content-range": "bytes 0-1/2" };

  it.each(["identity", "Identity", " identity"])("may say Content-Encoding %j", (coding) => {
    expect(parsePacket(head, { ...range, "content-encoding": coding }, 2)).toMatchObject({
      type: "fragment",
    });
  });

  it.each(["gzip", "identity, gzip", "", "xpress"])("with Content-Encoding %j is answered 415", (coding) => {
    expect(faultOf(() => parsePacket(head, { ...range, "content-encoding": coding }, 2))).toMatchObject({
      ...INVALID,
      status: 415,
    });
  });

  it("without Content-Range is answered 400 and E_INVALIDARG", () => {
    expect(faultOf(() => parsePacket(head, {}, 2))).toMatchObject(INVALID);
  });

  it("with Content-Range twice is answered 400 and E_INVALIDARG", () => {
    const twice = { "content-range": ["bytes 0-1/2", "bytes 0-1/2"] };
    expect(faultOf(() => parsePacket(head, twice, 2))).toMatchObject(INVALID);
  });
});

describe("a Create-Session", () => {
  const other = "{00000000-249b-430f-820d-3d2a9bef4931}";

  it.each([
    BITS_PROTOCOL,
    BITS_PROTOCOL.toUpperCase(),
    `${other} ${BITS_PROTOCOL}`,
    `${other},${BITS_PROTOCOL}`,
    `${other} , \t${BITS_PROTOCOL}`,
    `${`${other} `.repeat(MAX_PROTOCOLS - 1)}${BITS_PROTOCOL}`,
  ])("is taken with the protocols %s", (protocols) => {
    expect(parsePacket({ type: "create" }, { "bits-supported-protocols": protocols }, 0)).toEqual({
      type: "create",
    });
  });

  it.each([
    ["no list", undefined],
    ["an empty list", ""],
    ["blanks only", " , "],
    ["other protocols", `${other} ${other}`],
    ["the protocol without braces", BITS_PROTOCOL.slice(1, -1)],
    ["other separators", `${other};${BITS_PROTOCOL}`],
    ["the protocol behind 100 others", `${`${other} `.repeat(MAX_PROTOCOLS)}${BITS_PROTOCOL}`],
  ])("with %s is answered 400 and E_INVALIDARG", (_, protocols) => {
    const headers = { "bits-supported-protocols": protocols };
    expect(faultOf(() => parsePacket({ type: "create" }, headers, 0))).toMatchObject(INVALID);
  });
});
