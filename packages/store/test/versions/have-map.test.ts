import { Bitfield } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHaveMap, encodeHaveMap } from "../../src/versions/have-map.js";

const id = new Uint8Array(32).fill(7);

describe("have-map", () => {
  it("comes back as it was written", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(8), (bits, spare) => {
        const rows = Math.max(0, bits.length * 8 - spare);
        const have = Bitfield.from(bits, rows);
        expect(decodeHaveMap(encodeHaveMap(id, have), id, rows).toBytes()).toEqual(have.toBytes());
      }),
    );
  });

  it("refuses every change of a single byte", () => {
    const bytes = encodeHaveMap(id, Bitfield.full(100));
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      expect(() => decodeHaveMap(damaged, id, 100)).toThrow("damaged");
    }
  });

  it("refuses another version and another number of rows", () => {
    const bytes = encodeHaveMap(id, Bitfield.full(100));
    expect(() => decodeHaveMap(bytes, new Uint8Array(32), 100)).toThrow("damaged");
    expect(() => decodeHaveMap(bytes, id, 101)).toThrow("damaged");
  });

  it("throws nothing but ERR_STORE_CORRUPT for arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => decodeHaveMap(bytes, id, 64)).toThrow(
          expect.objectContaining({ code: "ERR_STORE_CORRUPT" }),
        );
      }),
    );
  });
});
