import fc from "fast-check";
import { Type as TypeBox } from "typebox";
import { Value } from "typebox/value";
import { describe, expect, it } from "vitest";
import { findProblem, fitsSchema } from "../src/check-schema.js";
import { Type } from "../src/index.js";

const text = { minLength: 2, maxLength: 4, pattern: "^[a-c]*$" };
const count = { minimum: -2, maximum: 5 };

/** The same schema, made by both builders. */
function build(kind: typeof Type | typeof TypeBox) {
  const type: typeof Type = kind === TypeBox ? Object.assign({}, Type, TypeBox) : Type;
  return type.Object({
    text: type.String(text),
    free: type.Optional(type.String()),
    flag: type.Boolean(),
    whole: type.Integer(count),
    rate: type.Optional(type.Number(count)),
    mode: type.Enum(["fast", "slow"]),
    list: type.Array(type.Integer(count), { maxItems: 2 }),
    inner: type.Object({ map: type.Record(type.String(), type.Array(type.String())) }),
  });
}

const scalar = fc.oneof(
  fc.constantFrom("a", "ab", "abca", "abcab", "xy", "fast", "slow", "", "😀😀😀", true, false, null),
  fc.integer({ min: -4, max: 7 }),
  fc.double(),
  fc.array(fc.integer({ min: -4, max: 7 }), { maxLength: 3 }),
  fc.dictionary(fc.constantFrom("north", "s", ""), fc.array(fc.string(), { maxLength: 2 }), {
    noNullPrototype: true,
  }),
);
const often = <T>(right: T) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(right) }, { weight: 1, arbitrary: scalar });
const candidate = fc.record(
  {
    text: often("abc"),
    free: often("anything"),
    flag: often(true),
    whole: often(3),
    rate: often(0.5),
    mode: often("fast"),
    list: often([1, 2]),
    inner: fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ map: often({ north: ["10.0.0.0/8"] }) }, { noNullPrototype: true }),
      },
      scalar,
    ),
  },
  { noNullPrototype: true, requiredKeys: ["text", "flag", "mode"] },
);

/** A schema as JSON, without the names of a record, which TypeBox does not write. */
function plain(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema).replaceAll(/"propertyNames":\{[^}]*\},?/g, ""));
}

describe("Type", () => {
  it("writes the schemas that TypeBox writes", () => {
    expect(plain(build(Type))).toMatchObject(Object(plain(build(TypeBox))));
  });
});

describe("fitsSchema", () => {
  it("agrees with TypeBox on every value", () => {
    const [own, foreign] = [build(Type), build(TypeBox)];
    let fitting = 0;
    fc.assert(
      fc.property(candidate, (value) => {
        const expected = Value.Check(foreign, value);
        fitting += expected ? 1 : 0;
        expect(fitsSchema(own, value)).toBe(expected);
        expect(Value.Check(own, value)).toBe(expected);
      }),
      { numRuns: 3000 },
    );
    expect(fitting).toBeGreaterThan(100);
  });

  it("names the place of the first problem", () => {
    const schema = Type.Object({ a: Type.Object({ b: Type.Array(Type.Integer({ minimum: 1 })) }) });
    expect(findProblem(schema, { a: { b: [1, 0] } })).toEqual({
      path: ["a", "b", "1"],
      message: "must be >= 1",
      isMissing: false,
    });
    expect(findProblem(schema, { a: {} })).toEqual({
      path: ["a", "b"],
      message: "is missing",
      isMissing: true,
    });
  });

  it("holds the names of a record to their bounds", () => {
    const schema = Type.Record(Type.String({ minLength: 1, maxLength: 3 }), Type.Boolean());
    expect(fitsSchema(schema, { abc: true })).toBe(true);
    expect(fitsSchema(schema, { abcd: true })).toBe(false);
    expect(fitsSchema(schema, { "": true })).toBe(false);
  });

  it("does not take inherited keys for given ones", () => {
    const schema = Type.Object({ toString: Type.String() });
    expect(fitsSchema(schema, {})).toBe(false);
  });
});
