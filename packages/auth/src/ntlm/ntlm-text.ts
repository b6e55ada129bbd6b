/** UTF-16, little endian: all text of NTLM but that of clients which ask for OEM. */
export function utf16(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "utf16le"));
}

/** OEM text is taken as Latin-1: which code page it is, no message says. undefined when it is cut off. */
export function decodeText(bytes: Uint8Array, isUnicode: boolean): string | undefined {
  if (isUnicode && bytes.byteLength % 2 !== 0) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
    isUnicode ? "utf16le" : "latin1",
  );
}

export function encodeText(text: string, isUnicode: boolean): Uint8Array {
  return isUnicode ? utf16(text) : new Uint8Array(Buffer.from(text, "latin1"));
}

/** Upper case as Windows does it: unit by unit, so that the length stays (`ß` is left alone). */
export function upperCase(text: string): string {
  return Array.from(text, (char) => {
    const upper = char.toUpperCase();
    return char.length === 1 && upper.length === 1 ? upper : char;
  }).join("");
}
