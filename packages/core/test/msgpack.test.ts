import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeMsgpack, encodeMsgpack, isAppError } from "../src/index.js";

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string(),
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ minLength: 1 }).filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 5, noNullPrototype: true },
    ),
  ),
})).value;

/** Buffers and Uint8Arrays are equal when their bytes are. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]));
  return value;
}

function refusal(bytes: Uint8Array): unknown {
  try {
    decodeMsgpack(bytes, 200);
    return undefined;
  } catch (err) {
    return err;
  }
}

describe("msgpack", () => {
  it("gives back what was encoded", () => {
    fc.assert(
      fc.property(plain, (value) => {
        const bytes = encodeMsgpack(value);
        expect(normal(decodeMsgpack(bytes, bytes.byteLength))).toEqual(normal(value));
      }),
    );
  });

  it("takes a message at its limit and refuses one byte more", () => {
    const bytes = encodeMsgpack("x".repeat(20));
    expect(decodeMsgpack(bytes, bytes.byteLength)).toBe("x".repeat(20));
    expect(() => decodeMsgpack(bytes, bytes.byteLength - 1)).toThrow(/the limit is/);
  });

  it("throws nothing but an AppError on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(bytes)).toSatisfy(
          (err) => err === undefined || isAppError(err, "ERR_WIRE_MESSAGE_INVALID"),
        );
      }),
      { numRuns: 2000 },
    );
  });

  it("keeps no state between messages: each stands alone", () => {
    const first = encodeMsgpack({ a: 1, b: 2 });
    const second = encodeMsgpack({ a: 3, b: 4 });
    expect(decodeMsgpack(second, 100)).toEqual({ a: 3, b: 4 });
    expect(decodeMsgpack(first, 100)).toEqual({ a: 1, b: 2 });
  });

  it("throws the code it was given", () => {
    expect(() => decodeMsgpack(Uint8Array.of(0x92, 1), 10, "ERR_INDEX_INVALID")).toThrow(
      expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
    );
  });
});
