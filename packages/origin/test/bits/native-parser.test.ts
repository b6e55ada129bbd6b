import { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { beginsAsVerb, DetachedConnection, refusedBitsRequest } from "../../src/bits/native-parser.js";

const refused = (text: string, bytesParsed: number, code = "HPE_INVALID_METHOD"): string | undefined =>
  refusedBitsRequest({ code, rawPacket: Buffer.from(text), bytesParsed })?.toString();

describe("refusedBitsRequest", () => {
  it.each([
    ["BITS_POST /a", 2, "BITS_POST /a"],
    ["GET / HTTP/1.1\r\n\r\nBITS_POST /a", 20, "BITS_POST /a"],
    ["ITS_POST /a", 1, "BITS_POST /a"],
    ["TS_POST /a", 0, "BITS_POST /a"],
    ["BIT", 2, "BIT"],
    ["BITS_POST ", 2, "BITS_POST "],
  ])("finds in %j, refused at byte %i, %j", (text, at, expected) => {
    expect(refused(text, at)).toBe(expected);
  });

  it.each([
    ["BITS_POSTS /a", 2],
    ["BITS_PUT /a", 2],
    ["bits_post /a", 0],
    ["ITS_POST /a", 0],
    ["TS_POST /a", 1],
    ["BOGUS / HTTP/1.1", 1],
    ["BITS_POST /a", 3],
  ])("finds nothing in %j, refused at byte %i", (text, at) => {
    expect(refused(text, at)).toBeUndefined();
  });

  it("finds nothing in what was refused for another reason, or without its bytes", () => {
    expect(refused("BITS_POST /a", 2, "HPE_INVALID_URL")).toBeUndefined();
    expect(refusedBitsRequest({ code: "HPE_INVALID_METHOD", bytesParsed: 2 })).toBeUndefined();
    expect(
      refusedBitsRequest({ code: "HPE_INVALID_METHOD", rawPacket: Buffer.from("BITS") }),
    ).toBeUndefined();
  });
});

describe("beginsAsVerb", () => {
  it("holds for every beginning of the verb and its blank, and for all that follows", () => {
    const beginnings = ["", "B", "BITS_POST", "BITS_POST ", "BITS_POST /a"];
    expect(beginnings.map((text) => beginsAsVerb(Buffer.from(text)))).toEqual(beginnings.map(() => true));
    const others = ["b", "G", "BITS-", "BITS_POSTS", "BITS_POST\t"];
    expect(others.map((text) => beginsAsVerb(Buffer.from(text)))).toEqual(others.map(() => false));
  });
});

describe("DetachedConnection", () => {
  it("says so when a connection is made in another way than it knows", () => {
    expect(() => new DetachedConnection(new Socket())).toThrow(/^this version of Node \(v\d+/);
  });
});
