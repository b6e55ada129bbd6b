import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AppError, Fields } from "../src/index.js";

const fields = (value: unknown) => new Fields(value, "hello");

function refusal(run: () => unknown): { readonly code: string; readonly message: string } | undefined {
  try {
    run();
  } catch (err) {
    if (err instanceof Error && "code" in err) return { code: String(err.code), message: err.message };
    throw err;
  }
  return undefined;
}

describe("Fields", () => {
  it("reads each type within its bounds", () => {
    const f = fields({
      int: 7,
      num: 0.5,
      yes: true,
      text: "abc",
      kind: "b",
      raw: Uint8Array.of(1, 2),
      list: [1],
      texts: ["x"],
      map: { inner: 1 },
    });
    expect(f.int("int", 7, 7)).toBe(7);
    expect(f.number("num", 0, 1)).toBe(0.5);
    expect(f.boolean("yes")).toBe(true);
    expect(f.string("text", 3)).toBe("abc");
    expect(f.oneOf("kind", ["a", "b"])).toBe("b");
    expect([...f.bytes("raw", 2)]).toEqual([1, 2]);
    expect(f.list("list", 1)).toEqual([1]);
    expect(f.strings("texts", 1, 1)).toEqual(["x"]);
    expect(f.map("map").int("inner", 0, 1)).toBe(1);
    expect(f.has("int")).toBe(true);
    expect(f.has("none")).toBe(false);
  });

  it.each<[string, unknown, (f: Fields) => unknown]>([
    ["an integer too small", -1, (f) => f.int("x", 0, 9)],
    ["an integer too large", 10, (f) => f.int("x", 0, 9)],
    ["a fraction for an integer", 1.5, (f) => f.int("x", 0, 9)],
    ["an unsafe integer", 2 ** 53, (f) => f.int("x", 0, 2 ** 60)],
    ["a text for an integer", "1", (f) => f.int("x", 0, 9)],
    ["NaN", Number.NaN, (f) => f.number("x", 0, 9)],
    ["infinity", Number.POSITIVE_INFINITY, (f) => f.number("x", 0, 9)],
    ["1 for true", 1, (f) => f.boolean("x")],
    ["a text too long", "abcd", (f) => f.string("x", 3)],
    ["a word not in the set", "c", (f) => f.oneOf("x", ["a", "b"])],
    ["bytes too short", Uint8Array.of(1), (f) => f.bytes("x", 2)],
    ["bytes too long", Uint8Array.of(1, 2, 3), (f) => f.bytes("x", 1, 2)],
    ["a text for bytes", "ab", (f) => f.bytes("x", 2)],
    ["a list too long", [1, 2], (f) => f.list("x", 1)],
    ["a map for a list", { length: 0 }, (f) => f.list("x", 1)],
    ["a number among texts", [1], (f) => f.strings("x", 2, 2)],
    ["a list for a map", [], (f) => f.map("x")],
    ["null for a map", null, (f) => f.map("x")],
    ["a missing field", undefined, (f) => f.int("x", 0, 9)],
  ])("refuses %s and names the field", (_, value, read) => {
    expect(refusal(() => read(fields({ x: value })))).toMatchObject({
      code: "ERR_WIRE_MESSAGE_INVALID",
      message: expect.stringContaining("hello.x"),
    });
  });

  it("takes plain maps only", () => {
    for (const value of [null, undefined, 1, "x", [], new Map(), new Date(0), Uint8Array.of(1)])
      expect(refusal(() => fields(value))?.code).toBe("ERR_WIRE_MESSAGE_INVALID");
  });

  it("names its keys", () => {
    expect(fields({ site1: 1, site2: 2 }).keys()).toEqual(["site1", "site2"]);
  });

  it("does not see what a map inherits", () => {
    const f = fields(JSON.parse('{"__proto__": {"x": 1}}'));
    expect(f.has("x")).toBe(false);
    expect(f.has("toString")).toBe(false);
  });

  it("throws the code it was given, also within", () => {
    const f = new Fields({ head: { n: "x" } }, "index", "ERR_INDEX_INVALID");
    expect(refusal(() => f.map("head").int("n", 0, 1))).toMatchObject({
      code: "ERR_INDEX_INVALID",
      message: expect.stringContaining("index.head.n"),
    });
  });

  it("throws nothing but its own error, whatever the value", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const err = refusal(() => fields({ x: value }).map("x").strings("y", 3, 3));
        expect(
          err === undefined || err.code === ("ERR_WIRE_MESSAGE_INVALID" satisfies AppError["code"]),
        ).toBe(true);
      }),
    );
  });
});
