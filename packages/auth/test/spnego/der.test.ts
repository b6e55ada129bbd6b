import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DER_TAG, derChildren, encodeDer, readDer } from "../../src/der/der.js";
import { encodeNegTokenResp, parseSpnego } from "../../src/spnego/spnego.js";

describe("DER", () => {
  it("reads what it wrote, whatever the length", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 127, 128, 255, 256, 65_535, 65_536),
        fc.uint8Array(),
        (size, tail) => {
          const content = new Uint8Array(size).fill(5);
          const element = encodeDer(DER_TAG.octetString, content);
          const read = readDer(new Uint8Array([...element, ...tail]));
          expect(read?.content.byteLength).toBe(size);
          expect(read?.raw.byteLength).toBe(element.byteLength);
        },
      ),
    );
  });

  it.each([
    ["nothing", []],
    ["a tag alone", [0x30]],
    ["a tag of several bytes", [0x1f, 0x01, 0x00]],
    ["a length without an end", [0x30, 0x80, 0, 0]],
    ["a length of four bytes", [0x30, 0x84, 0, 0, 0, 0]],
    ["a length that is cut off", [0x30, 0x82, 1]],
    ["content that is cut off", [0x30, 3, 1, 2]],
  ])("refuses %s", (_, bytes) => {
    expect(readDer(Uint8Array.from(bytes))).toBeUndefined();
  });

  it("takes 64 elements beside each other and refuses 65", () => {
    const element = encodeDer(DER_TAG.oid);
    const repeated = (count: number) =>
      new Uint8Array(Buffer.concat(Array.from({ length: count }, () => element)));
    expect(derChildren(repeated(64))).toHaveLength(64);
    expect(derChildren(repeated(65))).toBeUndefined();
  });
});

describe("SPNEGO", () => {
  it("reads back each token that it writes", () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(
        fc.record({
          negState: fc.option(fc.nat(3), { nil: undefined }),
          mechanism: fc.option(fc.constantFrom("ntlm", "kerberos", "microsoftKerberos"), { nil: undefined }),
          responseToken: fc.option(bytes, { nil: undefined }),
          mechListMic: fc.option(bytes, { nil: undefined }),
        }),
        (token) => {
          const { negState, mechanism, responseToken, mechListMic } = token;
          expect(
            parseSpnego(encodeNegTokenResp({ negState, mechanism, responseToken, mechListMic })),
          ).toEqual({
            type: "resp",
            ...token,
          });
        },
      ),
    );
  });

  it("answers 16,000 levels of nesting without going into them", () => {
    const levels: number[] = [];
    for (let length = 64_000; length > 4; length -= 4) {
      levels.push(0xa0, 0x82, (length - 4) >> 8, (length - 4) & 0xff);
    }
    const body = Uint8Array.from(levels);
    const nested = encodeDer(
      DER_TAG.application0,
      encodeDer(DER_TAG.oid, new Uint8Array(Buffer.from("2b0601050502", "hex"))),
      body,
    );
    expect(parseSpnego(nested)).toBeUndefined();
    expect(parseSpnego(encodeDer(0xa1, body))).toBeUndefined();
  });

  it("refuses bytes after the token, two fields of one kind, and a list that is empty", () => {
    const token = encodeNegTokenResp({ negState: 0 });
    expect(parseSpnego(new Uint8Array([...token, 0]))).toBeUndefined();
    const field = encodeDer(0xa0, encodeDer(DER_TAG.enumerated, Uint8Array.of(0)));
    expect(parseSpnego(encodeDer(0xa1, encodeDer(DER_TAG.sequence, field, field)))).toBeUndefined();
    const emptyList = encodeDer(
      0xa0,
      encodeDer(DER_TAG.sequence, encodeDer(0xa0, encodeDer(DER_TAG.sequence))),
    );
    const oid = encodeDer(DER_TAG.oid, new Uint8Array(Buffer.from("2b0601050502", "hex")));
    expect(parseSpnego(encodeDer(DER_TAG.application0, oid, emptyList))).toBeUndefined();
  });
});
