import { dirname, resolve } from "node:path";
import { AppError } from "@ckmesh/core";
import type { Static, TSchema } from "typebox";
import { parse as parseYaml } from "yaml";
import { findProblem, fitsSchema, type SchemaProblem } from "./check-schema.js";
import { didYouMean } from "./did-you-mean.js";
import { readYamlFile } from "./read-yaml-file.js";
import {
  isPlainObject,
  type SchemaFacts,
  type SchemaLeaf,
  schemaFacts,
  schemaLeaves,
} from "./schema-tree.js";

export interface LoadConfigOptions<S extends TSchema> {
  /** Object schema; `isPath: true` marks files and folders, `writeOnly: true` secrets. */
  readonly schema: S;
  /** Lowest precedence; in the shape of the configuration, incomplete where a key is required. */
  readonly defaults: object;
  /** YAML file of `--config`. */
  readonly file?: string | undefined;
  /** With `CKMESH_`, `tlsListen` is `CKMESH_TLS_LISTEN` and `rights.read` is `CKMESH_RIGHTS_READ`. */
  readonly envPrefix: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Values of flags: in the shape of the configuration or by dotted key; undefined = flag not given. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** How a flag is spelt, by dotted key, where it is not `--` and the key in kebab-case. */
  readonly flagNames?: Readonly<Record<string, string>>;
  /** What an unknown key in the file or the flags means; unknown variables of the environment only warn. */
  readonly unknownKeys: "error" | "warn";
}

export interface LoadedConfig<S extends TSchema> {
  /** Valid and deeply frozen; its paths are absolute. */
  readonly config: Static<S>;
  /** Where each value came from, by dotted key: `default`, `FILE:LINE`, `CKMESH_…`, `--flag`. */
  readonly sources: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

interface Setting {
  readonly value: unknown;
  readonly source: string;
}

/** One origin of settings. */
interface Layer {
  readonly value: unknown;
  readonly baseDir: string;
  sourceOf(path: readonly string[]): string;
}

/**
 * Merges defaults < file < environment < flags, and checks the result against the schema.
 * @throws {AppError} ERR_CONFIG_INVALID naming key, value and source
 */
export function loadConfig<const S extends TSchema>(options: LoadConfigOptions<S>): LoadedConfig<S> {
  const root = schemaFacts(options.schema);
  const leaves = schemaLeaves(root);
  const settings = new Map<string, Setting>();
  const warnings: string[] = [];
  const unknown = (message: string): void => {
    if (options.unknownKeys === "error") throw new AppError("ERR_CONFIG_INVALID", message);
    warnings.push(message);
  };
  const cwd = process.cwd();
  applyLayer({ value: options.defaults, baseDir: cwd, sourceOf: () => "default" }, root, settings, unknown);
  if (options.file !== undefined) {
    const file = readYamlFile(options.file);
    const baseDir = dirname(resolve(options.file));
    const sourceOf = (path: readonly string[]): string => file.locate(path);
    applyLayer({ value: file.value, baseDir, sourceOf }, root, settings, unknown);
  }
  applyEnvironment(options, leaves, settings, warnings, cwd);
  const flags: Layer = {
    value: nestDottedKeys(options.flags),
    baseDir: cwd,
    sourceOf: (path) => flagName(path, options.flagNames),
  };
  applyLayer(flags, root, settings, unknown);

  const config: unknown = nest(settings);
  if (!fitsSchema(options.schema, config))
    throw invalid(options, settings, findProblem(options.schema, config));
  deepFreeze(config);
  const sources = Object.fromEntries([...settings].map(([key, setting]) => [key, setting.source]));
  return { config, sources, warnings };
}

function applyLayer(
  layer: Layer,
  root: SchemaFacts,
  settings: Map<string, Setting>,
  unknown: (message: string) => void,
): void {
  const visit = (value: unknown, schema: SchemaFacts, path: readonly string[]): void => {
    if (value === undefined || value === null) return;
    const key = path.join(".");
    if (schema.properties === undefined) {
      settings.set(key, { value: resolvePaths(value, schema, layer.baseDir), source: layer.sourceOf(path) });
      return;
    }
    if (!isPlainObject(value)) {
      throw new AppError(
        "ERR_CONFIG_INVALID",
        `${key === "" ? "the configuration" : key} must hold named keys (${[...schema.properties.keys()].join(", ")}), not ${show(value)} (from ${layer.sourceOf(path)})`,
      );
    }
    for (const [name, child] of Object.entries(value)) {
      const childSchema = schema.properties.get(name);
      if (childSchema !== undefined) {
        visit(child, childSchema, [...path, name]);
      } else if (child !== undefined) {
        const near = didYouMean(name, [...schema.properties.keys()]);
        const full = [...path, name].join(".");
        unknown(
          `unknown key ${full} (from ${layer.sourceOf([...path, name])})${near === undefined ? "" : `; did you mean ${[...path, near].join(".")}?`}`,
        );
      }
    }
  };
  visit(layer.value, root, []);
}

function applyEnvironment(
  options: Pick<LoadConfigOptions<TSchema>, "envPrefix" | "env">,
  leaves: readonly SchemaLeaf[],
  settings: Map<string, Setting>,
  warnings: string[],
  cwd: string,
): void {
  const byName = new Map(leaves.map((leaf) => [environmentName(options.envPrefix, leaf.path), leaf]));
  if (byName.size !== leaves.length) throw new Error("unreachable: two keys share a variable name");
  for (const [name, text] of Object.entries(options.env)) {
    if (!name.startsWith(options.envPrefix) || text === undefined || text === "") continue;
    const leaf = byName.get(name);
    if (leaf === undefined) {
      const near = didYouMean(name, [...byName.keys()]);
      warnings.push(
        `${name} is not a setting of this program${near === undefined ? "" : `; did you mean ${near}?`}`,
      );
      continue;
    }
    const value = resolvePaths(parseVariable(text, leaf.schema, name), leaf.schema, cwd);
    settings.set(leaf.path.join("."), { value, source: name });
  }
}

/** `tlsListen` → `CKMESH_TLS_LISTEN`, `virtualDirectory.name` → `CKMESH_VIRTUAL_DIRECTORY_NAME`. */
function environmentName(prefix: string, path: readonly string[]): string {
  return prefix + path.map((key) => kebab(key).replaceAll("-", "_").toUpperCase()).join("_");
}

function parseVariable(text: string, schema: SchemaFacts, name: string): unknown {
  if (schema.type === "string") return text;
  if (schema.type === "array" && !text.trimStart().startsWith("[")) {
    return text.split(",").map((item) => item.trim());
  }
  try {
    return parseYaml(text);
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${name} holds ${show(text)}, which is not valid YAML`, {
      cause,
    });
  }
}

function flagName(path: readonly string[], names: Readonly<Record<string, string>> = {}): string {
  const key = path.join(".");
  return names[key] ?? `--${path.map(kebab).join("-")}`;
}

function kebab(key: string): string {
  return key.replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();
}

function resolvePaths(value: unknown, schema: SchemaFacts, baseDir: string): unknown {
  if (schema.isPath && typeof value === "string" && value !== "") return resolve(baseDir, value);
  if (schema.itemsArePaths && Array.isArray(value)) {
    return value.map((item: unknown) => (typeof item === "string" ? resolve(baseDir, item) : item));
  }
  return value;
}

/** `{ "a.b": 1, c: { d: 2 } }` → `{ a: { b: 1 }, c: { d: 2 } }`. */
function nestDottedKeys(flags: Readonly<Record<string, unknown>>): unknown {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(flags)) {
    if (value !== undefined) setIn(out, key.split("."), value);
  }
  return out;
}

function nest(settings: ReadonlyMap<string, Setting>): unknown {
  const out: Record<string, unknown> = {};
  for (const [key, { value }] of settings) setIn(out, key.split("."), value);
  return out;
}

function setIn(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [head, ...rest] = path;
  if (head === undefined) throw new Error("unreachable: empty key");
  const existing = Object.hasOwn(target, head) ? target[head] : undefined;
  if (rest.length === 0 && !(isPlainObject(existing) && isPlainObject(value))) {
    define(target, head, value);
    return;
  }
  const child: Record<string, unknown> = isPlainObject(existing) ? { ...existing } : {};
  if (rest.length === 0 && isPlainObject(value)) {
    for (const [key, item] of Object.entries(value)) setIn(child, [key], item);
  } else {
    setIn(child, rest, value);
  }
  define(target, head, child);
}

/** Plain assignment would take a key named `__proto__` for the prototype. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

function invalid(
  options: LoadConfigOptions<TSchema>,
  settings: ReadonlyMap<string, Setting>,
  problem: SchemaProblem | undefined,
): AppError {
  if (problem === undefined) throw new Error("unreachable: an invalid configuration without a problem");
  const { path, message } = problem;
  if (problem.isMissing) {
    return new AppError(
      "ERR_CONFIG_INVALID",
      `${path.join(".")} is missing: set it in the file, as ${environmentName(options.envPrefix, path)} or with ${flagName(path, options.flagNames)}`,
    );
  }
  // The setting is the longest known prefix: a problem may lie inside a list or a map.
  let known = path.length;
  while (known > 0 && !settings.has(path.slice(0, known).join("."))) known -= 1;
  const key = path.slice(0, known).join(".");
  const setting = settings.get(key);
  const leaf = schemaLeaves(schemaFacts(options.schema)).find((l) => l.path.join(".") === key);
  const shown = leaf?.schema.isSecret === true ? "a secret" : show(setting?.value);
  const inner = path.slice(known).join(".");
  return new AppError(
    "ERR_CONFIG_INVALID",
    `${key} = ${shown} (from ${setting?.source ?? "default"}): ${inner === "" ? "" : `${inner} `}${message}`,
    { details: { key, source: setting?.source } },
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

function deepFreeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const item of Object.values(value)) deepFreeze(item);
}
