import { AppError } from "@ckmesh/core";

/** The options and arguments of one command line as typed by a person: parsed where they are used. */
export class CliOptions {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #args: readonly string[];

  constructor(values: Readonly<Record<string, unknown>>, args: readonly string[]) {
    this.#values = new Map(Object.entries(values));
    this.#args = args;
  }

  /** A positional argument that commander has already required. */
  arg(index: number): string {
    const value = this.#args[index];
    if (value === undefined) throw new AppError("ERR_USAGE", `argument ${index + 1} is missing`);
    return value;
  }

  optionalArg(index: number): string | undefined {
    return this.#args[index];
  }

  text(key: string): string | undefined {
    const value = this.#values.get(key);
    return typeof value === "string" ? value : undefined;
  }

  /** @throws {AppError} ERR_USAGE when it is absent */
  requiredText(key: string): string {
    const value = this.text(key);
    if (value === undefined) throw new AppError("ERR_USAGE", `${flagOf(key)} is required`);
    return value;
  }

  /** A switch; undefined when it was not given, so that a file or the environment can decide. */
  flag(key: string): boolean | undefined {
    const value = this.#values.get(key);
    return typeof value === "boolean" ? value : undefined;
  }

  list(key: string): readonly string[] | undefined {
    const value = this.#values.get(key);
    if (!Array.isArray(value)) return undefined;
    return value.filter((item) => typeof item === "string");
  }

  /** @throws {AppError} ERR_USAGE unless it is absent or a whole number in [min, max] */
  int(key: string, min: number, max: number): number | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : parseWhole(flagOf(key), value, min, max);
  }
}

/** @throws {AppError} ERR_USAGE unless `text` is a whole number in [min, max] */
export function parseWhole(what: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new AppError(
      "ERR_USAGE",
      `${what} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`,
    );
  return value;
}

function flagOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
