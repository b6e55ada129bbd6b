import { AppError, type ErrorCode } from "./errors.js";

/**
 * Reads the fields of a decoded, untrusted map: each read names its type and bounds, and anything else
 * throws. Bytes are views into the decoded message, not copies.
 */
export class Fields {
  readonly #map: ReadonlyMap<string, unknown>;
  readonly #what: string;
  readonly #code: ErrorCode;

  /** @throws {AppError} `code` when `value` is no plain map */
  constructor(value: unknown, what: string, code: ErrorCode = "ERR_WIRE_MESSAGE_INVALID") {
    this.#what = what;
    this.#code = code;
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
      throw new AppError(code, `${what} is no map`);
    }
    // Copied into a map of unknown values: own, enumerable keys only.
    this.#map = new Map(Object.entries(value));
  }

  has(key: string): boolean {
    const value = this.#map.get(key);
    return value !== undefined && value !== null;
  }

  /** Every key of the map, as untrusted as the values. */
  keys(): readonly string[] {
    return [...this.#map.keys()];
  }

  /** A safe integer in [min, max]. */
  int(key: string, min: number, max: number): number {
    const value = this.#raw(key);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max) {
      throw this.#bad(key, `an integer from ${min} to ${max}`);
    }
    return value;
  }

  /** A finite number in [min, max]. */
  number(key: string, min: number, max: number): number {
    const value = this.#raw(key);
    if (typeof value !== "number" || !(value >= min && value <= max))
      throw this.#bad(key, `a number from ${min} to ${max}`);
    return value;
  }

  boolean(key: string): boolean {
    const value = this.#raw(key);
    if (typeof value !== "boolean") throw this.#bad(key, "true or false");
    return value;
  }

  /** A text of at most `maxLength` UTF-16 units. */
  string(key: string, maxLength: number): string {
    const value = this.#raw(key);
    if (typeof value !== "string" || value.length > maxLength)
      throw this.#bad(key, `a text of at most ${maxLength} characters`);
    return value;
  }

  /** One of `values`. */
  oneOf<const T extends string>(key: string, values: readonly T[]): T {
    const value = this.#raw(key);
    const found = values.find((v) => v === value);
    if (found === undefined) throw this.#bad(key, `one of ${values.join(", ")}`);
    return found;
  }

  /** Bytes of a length in [min, max]. */
  bytes(key: string, min: number, max: number = min): Uint8Array {
    const value = this.#raw(key);
    if (!(value instanceof Uint8Array) || value.byteLength < min || value.byteLength > max) {
      throw this.#bad(key, min === max ? `${min} bytes` : `${min} to ${max} bytes`);
    }
    return value;
  }

  /** A list of at most `maxItems`, each still untrusted. */
  list(key: string, maxItems: number): readonly unknown[] {
    const value = this.#raw(key);
    if (!Array.isArray(value) || value.length > maxItems)
      throw this.#bad(key, `a list of at most ${maxItems} items`);
    return value;
  }

  /** A list of texts. */
  strings(key: string, maxItems: number, maxLength: number): readonly string[] {
    return this.list(key, maxItems).map((item) => {
      if (typeof item !== "string" || item.length > maxLength)
        throw this.#bad(key, `texts of at most ${maxLength} characters`);
      return item;
    });
  }

  /** A map within. */
  map(key: string): Fields {
    return new Fields(this.#raw(key), `${this.#what}.${key}`, this.#code);
  }

  #raw(key: string): unknown {
    return this.#map.get(key);
  }

  #bad(key: string, wanted: string): AppError {
    return new AppError(this.#code, `${this.#what}.${key} must be ${wanted}`);
  }
}
