/** One element of DER (X.690): tag, content, and both with the length between them. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

/** Identifier octets of what we read and write (X.680 §8.6). */
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
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  /** [APPLICATION 0], constructed: what a first GSS token begins with (RFC 2743 §3.1). */
  application0: 0x60,
} as const;

/** [n], constructed. */
export function contextTag(n: number): number {
  return 0xa0 + n;
}

/** Bytes of a length beyond the first: 16 MiB, more than any token or certificate. */
const MAX_LENGTH_BYTES = 3;
/** Elements beside each other, where nothing else is said: more is made to cost time. */
export const MAX_SIBLINGS = 64;

/**
 * Reads the element at the start of `bytes`; what follows it is ignored. Never looks into it, so nesting
 * costs nothing. undefined when it is cut off, has a tag of several bytes, or no definite, short length.
 */
export function readDer(bytes: Uint8Array): DerElement | undefined {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined;
  if (first < 0x80) return element(bytes, tag, 2, first);
  const count = first & 0x7f;
  if (count === 0 || count > MAX_LENGTH_BYTES || bytes.byteLength < 2 + count) return undefined;
  const length = bytes.subarray(2, 2 + count).reduce((sum, byte) => sum * 256 + byte, 0);
  return element(bytes, tag, 2 + count, length);
}

/** The elements that `content` consists of; undefined when one is malformed or they are more than 64. */
export function derChildren(content: Uint8Array): readonly DerElement[] | undefined {
  const children: DerElement[] = [];
  for (let rest = content; rest.byteLength > 0; ) {
    const child = readDer(rest);
    if (child === undefined || children.length === MAX_SIBLINGS) return undefined;
    children.push(child);
    rest = rest.subarray(child.raw.byteLength);
  }
  return children;
}

/** Content may come in parts. */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const lengthBytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) lengthBytes.unshift(rest % 256);
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 + lengthBytes.length, ...lengthBytes];
  return new Uint8Array(Buffer.concat([Uint8Array.from(head), ...parts]));
}

function element(bytes: Uint8Array, tag: number, start: number, length: number): DerElement | undefined {
  const end = start + length;
  if (end > bytes.byteLength) return undefined;
  return { tag, content: bytes.subarray(start, end), raw: bytes.subarray(0, end) };
}
