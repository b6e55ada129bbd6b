/** Bytes of the base64 in a header; undefined when it is anything else, or empty. */
export function decodeToken(token: string): Uint8Array | undefined {
  const bytes = Buffer.from(token, "base64");
  // Buffer skips what is no base64: only a token that encodes back is one.
  const isBase64 = bytes.toString("base64").replaceAll("=", "") === token.replaceAll("=", "");
  return isBase64 && bytes.byteLength > 0 ? new Uint8Array(bytes) : undefined;
}

export function encodeToken(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
