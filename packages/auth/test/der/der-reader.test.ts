import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DER_TAG } from "../../src/der/der.js";
import { DerReader, decodeOid, parseDer } from "../../src/der/der-reader.js";
import { tlv } from "./der-builder.js";

const refused = expect.objectContaining({ code: "ERR_REQUEST_INVALID" });

describe("DerReader", () => {
  it("reads elements of one level, and says what is left", () => {
    const reader = new DerReader(
      Buffer.concat([tlv(DER_TAG.integer, [5]), tlv(DER_TAG.sequence, [1, 2, 3])]),
    );
    expect(reader.optional(DER_TAG.sequence)).toBe(undefined);
    expect([...reader.next(DER_TAG.integer).content]).toEqual([5]);
    expect(() => reader.end()).toThrow(refused);
    expect([...reader.next().raw]).toEqual([0x30, 3, 1, 2, 3]);
    expect(reader.isAtEnd).toBe(true);
    reader.end();
  });

  it("takes lengths of up to three octets, also where fewer would do, and no indefinite ones", () => {
    const long = tlv(DER_TAG.octetString, new Uint8Array(70_000));
    expect([...long.subarray(0, 5)]).toEqual([4, 0x83, 1, 0x11, 0x70]);
    expect(parseDer(long, DER_TAG.octetString).content).toHaveLength(70_000);
    expect(parseDer(Buffer.from([4, 0x82, 0, 1, 9]), 4).content).toHaveLength(1);
    expect(() => parseDer(Buffer.from([4, 0x84, 0, 0, 0, 1, 9]), 4)).toThrow(refused);
    expect(() => parseDer(Buffer.from([0x30, 0x80, 0, 0]), 0x30)).toThrow(refused);
  });

  it("refuses a 65th sibling, tags of several octets, other tags, bytes behind", () => {
    expect(new DerReader(siblings(64)).rest()).toHaveLength(64);
    expect(() => new DerReader(siblings(65)).rest()).toThrow(refused);
    expect(() => new DerReader(Buffer.from([0x1f, 0x81, 1, 0])).next()).toThrow(refused);
    expect(() => parseDer(tlv(DER_TAG.integer, [1]), DER_TAG.sequence)).toThrow(refused);
    expect(() => parseDer(Buffer.concat([tlv(2, [1]), Buffer.from([0])]), 2)).toThrow(refused);
  });

  it("throws nothing but ERR_REQUEST_INVALID, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const err = failureOf(() => {
          for (const { content } of new DerReader(bytes).rest()) decodeOid(content);
        });
        expect(err === undefined || isAppError(err, "ERR_REQUEST_INVALID")).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("reads OIDs, of the first arcs too, and refuses those that end within an arc", () => {
    const oids = ["2b060104018237140203", "550403", "883703", "00", "2a864886f70d010901"].map((hex) =>
      decodeOid(Buffer.from(hex, "hex")),
    );
    expect(oids).toEqual(["1.3.6.1.4.1.311.20.2.3", "2.5.4.3", "2.999.3", "0.0", "1.2.840.113549.1.9.1"]);
    for (const hex of ["", "2b86", "2bffffffffffffffff7f", "01".repeat(65)]) {
      expect(() => decodeOid(Buffer.from(hex, "hex"))).toThrow(refused);
    }
  });
});

function siblings(n: number): Buffer {
  return Buffer.concat(Array.from({ length: n }, () => tlv(DER_TAG.integer, [1])));
}

function failureOf(run: () => void): unknown {
  try {
    run();
    return undefined;
  } catch (err) {
    return err;
  }
}
