/** Ids of attribute-value pairs ([MS-NLMP] 2.2.2.1). */
export const AV = {
  end: 0,
  netbiosHost: 1,
  netbiosDomain: 2,
  dnsHost: 3,
  dnsDomain: 4,
  flags: 6,
  timestamp: 7,
  targetName: 9,
  channelBinding: 10,
} as const;

/** Bit of the flags pair: the message carries a MIC. */
export const AV_FLAG_MIC = 0x2;

/** Eleven ids are defined. */
const MAX_PAIRS = 32;

export type AvPairs = ReadonlyMap<number, Uint8Array>;

/** Reads pairs up to their end mark; undefined when there is none, a value runs over, or an id comes twice. */
export function parseAvPairs(bytes: Uint8Array): AvPairs | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pairs = new Map<number, Uint8Array>();
  for (let offset = 0; offset + 4 <= bytes.byteLength && pairs.size <= MAX_PAIRS; ) {
    const id = view.getUint16(offset, true);
    const end = offset + 4 + view.getUint16(offset + 2, true);
    if (id === AV.end) return pairs;
    if (end > bytes.byteLength || pairs.has(id)) return undefined;
    pairs.set(id, bytes.subarray(offset + 4, end));
    offset = end;
  }
  return undefined;
}

/** The pairs in the order of the map, then the end mark. */
export function encodeAvPairs(pairs: AvPairs): Uint8Array {
  const size = [...pairs.values()].reduce((sum, value) => sum + 4 + value.byteLength, 4);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const [id, value] of pairs) {
    view.setUint16(offset, id, true);
    view.setUint16(offset + 2, value.byteLength, true);
    bytes.set(value, offset + 4);
    offset += 4 + value.byteLength;
  }
  return bytes;
}
