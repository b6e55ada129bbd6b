import type { Static, TSchema } from "typebox";
import { isPlainObject } from "./schema-tree.js";

/** Why a value does not fit a schema. */
export interface SchemaProblem {
  /** Keys and indexes from the root. */
  readonly path: readonly string[];
  /** `must be <= 100`; as Ajv and TypeBox put it. */
  readonly message: string;
  readonly isMissing: boolean;
}

/** Whether `value` fits the schema: the keywords that `Type` of this package writes, as JSON Schema defines them. */
export function fitsSchema<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return findProblem(schema, value) === undefined;
}

/** The first thing that is wrong, in the order of the schema; undefined when nothing is. */
export function findProblem(
  schema: unknown,
  value: unknown,
  path: readonly string[] = [],
): SchemaProblem | undefined {
  if (!isPlainObject(schema)) throw new Error(`unreachable: ${path.join(".")} has no schema`);
  const bad = (message: string): SchemaProblem => ({ path, message, isMissing: false });
  if (Array.isArray(schema["enum"])) {
    const values = schema["enum"].map(String);
    const isListed = typeof value === "string" && values.includes(value);
    return isListed ? undefined : bad(`must be equal to one of the allowed values: ${values.join(", ")}`);
  }
  switch (schema["type"]) {
    case "string":
      return typeof value === "string" ? problemOf(textProblem(schema, value), bad) : bad("must be string");
    case "boolean":
      return typeof value === "boolean" ? undefined : bad("must be boolean");
    case "integer":
      return Number.isInteger(value) ? problemOf(numberProblem(schema, value), bad) : bad("must be integer");
    case "number":
      return typeof value === "number" && Number.isFinite(value)
        ? problemOf(numberProblem(schema, value), bad)
        : bad("must be number");
    case "array":
      return Array.isArray(value) ? listProblem(schema, value, path) : bad("must be array");
    case "object":
      return isPlainObject(value) ? mapProblem(schema, value, path) : bad("must be object");
    default:
      throw new Error(`unreachable: ${path.join(".")} has the type ${String(schema["type"])}`);
  }
}

type Facts = Readonly<Record<string, unknown>>;

function problemOf(
  message: string | undefined,
  bad: (message: string) => SchemaProblem,
): SchemaProblem | undefined {
  return message === undefined ? undefined : bad(message);
}

function textProblem(schema: Facts, value: string): string | undefined {
  const [min, max, pattern] = [schema["minLength"], schema["maxLength"], schema["pattern"]];
  // JSON Schema counts characters, not UTF-16 units.
  const length = Array.from(value).length;
  if (typeof min === "number" && length < min) return `must not have fewer than ${min} characters`;
  if (typeof max === "number" && length > max) return `must not have more than ${max} characters`;
  if (typeof pattern === "string" && !new RegExp(pattern, "u").test(value))
    return `must match pattern "${pattern}"`;
  return undefined;
}

function numberProblem(schema: Facts, value: unknown): string | undefined {
  const [min, max] = [schema["minimum"], schema["maximum"]];
  if (typeof min === "number" && !(Number(value) >= min)) return `must be >= ${min}`;
  if (typeof max === "number" && !(Number(value) <= max)) return `must be <= ${max}`;
  return undefined;
}

function listProblem(
  schema: Facts,
  items: readonly unknown[],
  path: readonly string[],
): SchemaProblem | undefined {
  const [min, max] = [schema["minItems"], schema["maxItems"]];
  if (typeof min === "number" && items.length < min)
    return { path, message: `must not have fewer than ${min} items`, isMissing: false };
  if (typeof max === "number" && items.length > max)
    return { path, message: `must not have more than ${max} items`, isMissing: false };
  for (const [i, item] of items.entries()) {
    const problem = findProblem(schema["items"], item, [...path, String(i)]);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function mapProblem(schema: Facts, map: Facts, path: readonly string[]): SchemaProblem | undefined {
  const { properties, patternProperties, propertyNames } = {
    properties: schema["properties"],
    patternProperties: schema["patternProperties"],
    propertyNames: schema["propertyNames"],
  };
  const required: readonly unknown[] = Array.isArray(schema["required"]) ? schema["required"] : [];
  const missing = required.find((key) => typeof key === "string" && !Object.hasOwn(map, key));
  if (typeof missing === "string")
    return { path: [...path, missing], message: "is missing", isMissing: true };
  if (isPlainObject(properties)) {
    for (const [key, child] of Object.entries(properties)) {
      const problem = Object.hasOwn(map, key) ? findProblem(child, map[key], [...path, key]) : undefined;
      if (problem !== undefined) return problem;
    }
  }
  if (!isPlainObject(patternProperties)) return undefined;
  const item = Object.values(patternProperties)[0];
  for (const [key, child] of Object.entries(map)) {
    const problem =
      findProblem(propertyNames, key, [...path, key]) ?? findProblem(item, child, [...path, key]);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
