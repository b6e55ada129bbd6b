import { AppError } from "@ckmesh/core";
import { type DerElement, MAX_SIBLINGS, readDer } from "./der.js";

/** Longer identifiers are not ours: no OID that we compare has more than 12 octets. */
const MAX_OID_OCTETS = 64;

/**
 * Reads the elements of one level, one after the other; whoever wants the next level makes a reader of an
 * element's content, so nothing recurses.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #maxSiblings: number;
  #offset = 0;
  #count = 0;

  constructor(bytes: Uint8Array, maxSiblings: number = MAX_SIBLINGS) {
    this.#bytes = bytes;
    this.#maxSiblings = maxSiblings;
  }

  get isAtEnd(): boolean {
    return this.#offset >= this.#bytes.byteLength;
  }

  /** Identifier octet of the next element; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  /**
   * The next element.
   * @param tag what it must be; anything when left out
   * @throws {AppError} ERR_REQUEST_INVALID
   */
  next(tag?: number): DerElement {
    const element = readDer(this.#bytes.subarray(this.#offset));
    if (element === undefined)
      throw malformed("an element that is cut off, or whose tag or length is not taken");
    if (tag !== undefined && element.tag !== tag) {
      throw malformed(`element 0x${element.tag.toString(16)} where 0x${tag.toString(16)} belongs`);
    }
    this.#count += 1;
    if (this.#count > this.#maxSiblings) throw malformed(`more than ${this.#maxSiblings} elements`);
    this.#offset += element.raw.byteLength;
    return element;
  }

  /**
   * The next element if it bears `tag`.
   * @throws {AppError} ERR_REQUEST_INVALID when it is broken
   */
  optional(tag: number): DerElement | undefined {
    return this.nextTag === tag ? this.next(tag) : undefined;
  }

  /**
   * Everything that is left.
   * @throws {AppError} ERR_REQUEST_INVALID
   */
  rest(): readonly DerElement[] {
    const elements: DerElement[] = [];
    while (!this.isAtEnd) elements.push(this.next());
    return elements;
  }

  /** @throws {AppError} ERR_REQUEST_INVALID when something is left */
  end(): void {
    if (!this.isAtEnd) throw malformed("bytes after the last element");
  }
}

/**
 * The one element that `bytes` are, with nothing behind it.
 * @throws {AppError} ERR_REQUEST_INVALID
 */
export function parseDer(bytes: Uint8Array, tag: number): DerElement {
  const reader = new DerReader(bytes, 1);
  const element = reader.next(tag);
  reader.end();
  return element;
}

/**
 * An object identifier in dotted form, from its content octets (X.690 §8.19).
 * @throws {AppError} ERR_REQUEST_INVALID
 */
export function decodeOid(content: Uint8Array): string {
  if (content.byteLength === 0 || content.byteLength > MAX_OID_OCTETS) throw malformed("an OID's length");
  const arcs: number[] = [];
  let arc = 0;
  let isOpen = false;
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER / 256) throw malformed("an OID's arc");
    isOpen = (octet & 0x80) !== 0;
    if (!isOpen) {
      arcs.push(arc);
      arc = 0;
    }
  }
  if (isOpen) throw malformed("an OID that ends within an arc");
  const [first = 0, ...others] = arcs;
  // The first two arcs share a number: 40 x + y, x at most 2.
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - top * 40, ...others].join(".");
}

function malformed(what: string): AppError {
  return new AppError("ERR_REQUEST_INVALID", `not DER: ${what}`);
}
