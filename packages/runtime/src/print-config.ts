import type { TSchema } from "typebox";
import { stringify } from "yaml";
import type { LoadedConfig } from "./load-config.js";
import { isPlainObject, type SchemaFacts, schemaFacts } from "./schema-tree.js";

/** The effective configuration as YAML, each value with its source in a comment; secrets are masked. */
export function printConfig<S extends TSchema>(
  loaded: Pick<LoadedConfig<S>, "config" | "sources">,
  schema: S,
): string {
  return print(loaded.config, schemaFacts(schema), [], loaded.sources).join("\n");
}

function print(
  value: unknown,
  schema: SchemaFacts,
  path: readonly string[],
  sources: Readonly<Record<string, string>>,
): string[] {
  const lines: string[] = [];
  const indent = "  ".repeat(path.length);
  if (!isPlainObject(value) || schema.properties === undefined) return lines;
  for (const [key, childSchema] of schema.properties) {
    const child = value[key];
    if (child === undefined) continue;
    const childPath = [...path, key];
    if (childSchema.properties !== undefined) {
      lines.push(`${indent}${key}:`, ...print(child, childSchema, childPath, sources));
      continue;
    }
    const shown = childSchema.isSecret ? "********" : child;
    const text = stringify(shown, { collectionStyle: "flow", lineWidth: 0 }).trimEnd();
    lines.push(`${indent}${key}: ${text}  # ${sources[childPath.join(".")] ?? "default"}`);
  }
  return lines;
}
