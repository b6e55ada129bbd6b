import { readFileSync, statSync } from "node:fs";
import { AppError } from "@ckmesh/core";
import { LineCounter, parseDocument } from "yaml";

/** A configuration file larger than this is refused: no real one comes near. */
const MAX_CONFIG_FILE_BYTES = 1024 * 1024;

export interface YamlFile {
  readonly value: unknown;
  /** `FILE:LINE` of a key, or `FILE` when the key is not in it. */
  locate(path: readonly string[]): string;
}

/**
 * Reads a YAML (or JSON) file. Duplicate keys and syntax errors are reported with line and column.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function readYamlFile(file: string): YamlFile {
  const text = readText(file);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new AppError("ERR_CONFIG_INVALID", `${file}: ${problem.message.trimEnd()}`);
  }
  return {
    value: toPlain(document, file),
    locate(path): string {
      const node: unknown = document.getIn(path, true);
      const offset = startOf(node);
      return offset === undefined ? file : `${file}:${lines.linePos(offset).line}`;
    },
  };
}

function readText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > MAX_CONFIG_FILE_BYTES) {
      throw new AppError(
        "ERR_CONFIG_INVALID",
        `${file} has ${size} bytes; a configuration file has at most ${MAX_CONFIG_FILE_BYTES}`,
      );
    }
    return readFileSync(file, "utf8");
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("ERR_CONFIG_INVALID", `cannot read the configuration file: ${why}`, { cause });
  }
}

function toPlain(document: { toJS(options: { maxAliasCount: number }): unknown }, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${file}: too many aliases`, { cause });
  }
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range)) {
    return undefined;
  }
  const start: unknown = node.range[0];
  return typeof start === "number" ? start : undefined;
}
