import type { TSchema } from "typebox";

/** A key of a configuration schema that holds a value rather than further named keys. */
export interface SchemaLeaf {
  /** Key names from the root. */
  readonly path: readonly string[];
  readonly schema: SchemaFacts;
}

/** What the loader reads from a JSON schema. */
export interface SchemaFacts {
  readonly type: string | undefined;
  readonly description: string | undefined;
  /** A file or folder: resolved against the folder of the configuration file that names it. */
  readonly isPath: boolean;
  /** JSON Schema's `writeOnly`: masked in every print. */
  readonly isSecret: boolean;
  /** Named keys within; undefined for a leaf. */
  readonly properties: ReadonlyMap<string, SchemaFacts> | undefined;
  readonly itemsArePaths: boolean;
}

/** Reads the facts out of a TypeBox (or any plain JSON) schema. */
export function schemaFacts(schema: TSchema): SchemaFacts {
  return facts(schema);
}

/** Every leaf below `root`, in the order of the schema. */
export function schemaLeaves(root: SchemaFacts, path: readonly string[] = []): readonly SchemaLeaf[] {
  if (root.properties === undefined) return [{ path, schema: root }];
  return [...root.properties].flatMap(([key, child]) => schemaLeaves(child, [...path, key]));
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function facts(schema: unknown): SchemaFacts {
  const keys: Readonly<Record<string, unknown>> = isPlainObject(schema) ? schema : {};
  const properties = keys["properties"];
  const items = keys["items"];
  return {
    type: textOf(keys["type"]),
    description: textOf(keys["description"]),
    isPath: keys["isPath"] === true,
    isSecret: keys["writeOnly"] === true,
    properties: isPlainObject(properties)
      ? new Map(Object.entries(properties).map(([key, child]) => [key, facts(child)]))
      : undefined,
    itemsArePaths: isPlainObject(items) && items["isPath"] === true,
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
