/** One DER element (X.690). */
export function tlv(tag: number, content: Iterable<number> | readonly Uint8Array[]): Buffer {
  const parts = [...content];
  const body = Buffer.concat(parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : part)));
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest >>>= 8) length.unshift(rest & 0xff);
  const header = body.length < 0x80 ? [tag, body.length] : [tag, 0x80 | length.length, ...length];
  return Buffer.concat([Uint8Array.from(header), body]);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split(".").map(Number);
  const octets = [first * 40 + second, ...others].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
      digits.unshift((rest & 0x7f) | 0x80);
    }
    return digits;
  });
  return tlv(0x06, octets);
}
