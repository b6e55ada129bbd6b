import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { equalBytes, fromHex, sha256, toHex } from "../src/index.js";

describe("hexadecimal", () => {
  it("is read back as it was written", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const text = toHex(bytes);
        expect(fromHex(text, bytes.byteLength)).toEqual(bytes);
        expect(fromHex(text.toUpperCase(), bytes.byteLength)).toEqual(bytes);
        expect(fromHex(text, bytes.byteLength + 1)).toBeUndefined();
      }),
    );
  });

  it("is refused when a character is wrong", () => {
    expect(fromHex("0g", 1)).toBeUndefined();
    expect(fromHex("0x", 1)).toBeUndefined();
  });

  it("of a view does not show its neighbours", () => {
    expect(toHex(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe("0203");
  });
});

describe("equalBytes", () => {
  it("compares content, not identity", () => {
    expect(equalBytes(Uint8Array.of(1, 2), Buffer.from([1, 2]))).toBe(true);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBe(false);
  });
});

describe("sha256", () => {
  it("gives the digest of FIPS 180-4's example", () => {
    expect(toHex(sha256(Buffer.from("abc")))).toBe(
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
  });
});
