/** MD4 (RFC 1320). Broken as a hash; NTLM keeps passwords in it, and OpenSSL 3 no longer offers it. */
export function md4(message: Uint8Array): Uint8Array {
  const padded = pad(message);
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]);
  const words = new Uint32Array(16);
  for (let offset = 0; offset < padded.byteLength; offset += 64) {
    for (let i = 0; i < 16; i += 1) words[i] = padded.getUint32(offset + 4 * i, true);
    addBlock(state, words);
  }
  const digest = new DataView(new ArrayBuffer(16));
  state.forEach((word, i) => digest.setUint32(4 * i, word, true));
  return new Uint8Array(digest.buffer);
}

/** RFC 1320 §3.1, §3.2: a one, zeros, and the length in bits as 64 bits. */
function pad(message: Uint8Array): DataView {
  const padded = new Uint8Array(Math.ceil((message.byteLength + 9) / 64) * 64);
  padded.set(message);
  padded[message.byteLength] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.byteLength - 8, BigInt(message.byteLength) * 8n, true);
  return view;
}

/** RFC 1320 §3.4: per round the function of b, c, d, the constant, the shifts and the order of the words. */
const ROUNDS = [
  {
    mix: (b: number, c: number, d: number) => (b & c) | (~b & d),
    constant: 0,
    shifts: [3, 7, 11, 19],
    order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  },
  {
    mix: (b: number, c: number, d: number) => (b & c) | (b & d) | (c & d),
    constant: 0x5a827999,
    shifts: [3, 5, 9, 13],
    order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
  },
  {
    mix: (b: number, c: number, d: number) => b ^ c ^ d,
    constant: 0x6ed9eba1,
    shifts: [3, 9, 11, 15],
    order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
  },
] as const;

function addBlock(state: Uint32Array, words: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  for (const { mix, constant, shifts, order } of ROUNDS) {
    order.forEach((word, i) => {
      const sum = (a + mix(b, c, d) + (words[word] ?? 0) + constant) >>> 0;
      const shift = shifts[i % 4] ?? 0;
      [a, b, c, d] = [d, (sum << shift) | (sum >>> (32 - shift)), b, c];
    });
  }
  [a, b, c, d].forEach((value, i) => {
    state[i] = (state[i] ?? 0) + value;
  });
}
