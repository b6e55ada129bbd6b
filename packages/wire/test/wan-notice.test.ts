import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeWanNotice, encodeWanNotice, siteMark } from "../src/index.js";

const NOTICE = { peerId: "0a".repeat(16), site: siteMark("Lyon"), rate: 2_500_000 };
const TEXT = Buffer.from(encodeWanNotice(NOTICE)).toString("latin1");

describe("WAN notices", () => {
  it("come back as they were encoded, with no more of a peer id than its first half", () => {
    expect(decodeWanNotice(encodeWanNotice({ ...NOTICE, peerId: "0a".repeat(32) }))).toEqual(NOTICE);
  });

  it("tell sites apart, and no site from any", () => {
    expect(new Set([siteMark("Lyon"), siteMark("Paris"), siteMark(undefined)]).size).toBe(3);
  });

  it.each([
    ["a short peer id", TEXT.replace("Peer: 0a", "Peer: ")],
    ["a negative rate", TEXT.replace("Rate: ", "Rate: -")],
    ["a rate of 13 digits", TEXT.replace(/Rate: \d+/, `Rate: ${"9".repeat(13)}`)],
    ["a line more", `${TEXT}X: 1\r\n\r\n`],
    ["another request line", TEXT.replace("CK-WAN", "CK-SEARCH")],
  ])("are refused with %s", (_, text) => {
    expect(() => decodeWanNotice(Buffer.from(text, "latin1"))).toThrow(
      expect.objectContaining({ code: "ERR_WIRE_MESSAGE_INVALID" }),
    );
  });

  it("never throw anything but an AppError, whatever arrives", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(TEXT.length), (noise, at) => {
        const bytes = Buffer.concat([Buffer.from(TEXT.slice(0, at), "latin1"), noise]);
        try {
          expect(decodeWanNotice(bytes).rate).toBeLessThan(1e12);
        } catch (err) {
          if (!isAppError(err, "ERR_WIRE_MESSAGE_INVALID")) throw err;
        }
      }),
    );
  });
});
