import { AppError } from "@ckmesh/core";

/** One element of DER (X.690): its identifier octet and its bytes, all views into the input. */
export interface DerElement {
  /** Identifier octet with class and constructed bit; tags above 30 do not occur in what we read. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Header and content: what is hashed or signed. */
  readonly encoded: Uint8Array;
}

/** Universal tags (X.680 §8.6) as identifier octets. */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Three length octets reach 16 MiB, more than any token or certificate that gets here. */
const MAX_LENGTH_OCTETS = 3;
/** Elements side by side: more is made to cost time. */
const DEFAULT_MAX_SIBLINGS = 64;
/** Longer identifiers are not ours: no OID that we compare has more than 12 octets. */
const MAX_OID_OCTETS = 64;

/**
 * Reads the elements of one level, one after the other; whoever wants the next level makes a reader of an
 * element's content, so nothing recurses. Long forms of short lengths are read (some SPNEGO clients send
 * them); indefinite lengths are not.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #maxSiblings: number;
  #offset = 0;
  #count = 0;

  constructor(bytes: Uint8Array, maxSiblings: number = DEFAULT_MAX_SIBLINGS) {
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
    const element = readElement(this.#bytes, this.#offset);
    if (tag !== undefined && element.tag !== tag) {
      throw malformed(`element 0x${element.tag.toString(16)} where 0x${tag.toString(16)} belongs`);
    }
    this.#count += 1;
    if (this.#count > this.#maxSiblings) throw malformed(`more than ${this.#maxSiblings} elements`);
    this.#offset += element.encoded.byteLength;
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

function readElement(bytes: Uint8Array, offset: number): DerElement {
  const [tag, first] = [bytes[offset], bytes[offset + 1]];
  if (tag === undefined || first === undefined) throw malformed("an element that is cut off");
  if ((tag & 0x1f) === 0x1f) throw malformed("a tag of several octets");
  let start = offset + 2;
  let length = first;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets === 0 || octets > MAX_LENGTH_OCTETS) throw malformed("a length that is not taken");
    length = 0;
    for (let i = 0; i < octets; i += 1) {
      const octet = bytes[start + i];
      if (octet === undefined) throw malformed("a length that is cut off");
      length = length * 256 + octet;
    }
    start += octets;
  }
  const end = start + length;
  if (end > bytes.byteLength) throw malformed("an element that is cut off");
  return { tag, content: bytes.subarray(start, end), encoded: bytes.subarray(offset, end) };
}

function malformed(what: string): AppError {
  return new AppError("ERR_REQUEST_INVALID", `not DER: ${what}`);
}
