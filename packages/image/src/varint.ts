import { AppError } from "@ckmesh/core";

/** Longest varint that can be a safe integer. */
const MAX_VARINT_BYTES = 8;

/** Reads numbers out of an untrusted section; every read is bounded by its end. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** `what` names the section in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw this.invalid("it ends in the middle of a record");
    this.#at += 1;
    return value;
  }

  /** A view of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw this.invalid("it ends in the middle of a record");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** @throws {AppError} ERR_INDEX_INVALID at the end or above 2^53 - 1 */
  varint(): number {
    let value = 0;
    let factor = 1;
    for (let i = 0; i < MAX_VARINT_BYTES; i += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) break;
        return value;
      }
      factor *= 0x80;
    }
    throw this.invalid("a number is too large");
  }

  signed(): number {
    return zigzagDecode(this.varint());
  }

  invalid(problem: string): AppError {
    return new AppError("ERR_INDEX_INVALID", `section ${this.#what} is damaged: ${problem}`);
  }
}

export function zigzagEncode(value: number): number {
  return value < 0 ? -value * 2 - 1 : value * 2;
}

function zigzagDecode(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
