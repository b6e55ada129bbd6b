/** RC4. Broken as a cipher; NTLM wraps its session key in it, and OpenSSL 3 no longer offers it. */
export function rc4(key: Uint8Array, data: Uint8Array): Uint8Array {
  const s = Uint8Array.from({ length: 256 }, (_, i) => i);
  const at = (i: number) => s[i & 0xff] ?? 0;
  const swap = (i: number, j: number) => {
    const kept = at(i);
    s[i & 0xff] = at(j);
    s[j & 0xff] = kept;
  };
  for (let i = 0, j = 0; i < 256; i += 1) {
    j = (j + at(i) + (key[i % key.byteLength] ?? 0)) & 0xff;
    swap(i, j);
  }
  let [i, j] = [0, 0];
  return data.map((byte) => {
    i = (i + 1) & 0xff;
    j = (j + at(i)) & 0xff;
    swap(i, j);
    return byte ^ at(at(i) + at(j));
  });
}
