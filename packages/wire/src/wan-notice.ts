import { AppError, sha256, toHex } from "@ckmesh/core";

/** What a client tells its LAN while it fetches under a budget: whoever shares the WAN link leaves it a part. */
export interface WanNotice {
  /** The beginning of the sender's peer id, NOTICE_ID_CHARS hexadecimal characters. */
  readonly peerId: string;
  /** `siteMark` of the sender's site: another site has another WAN link. */
  readonly site: string;
  /** Bytes per second that the sender gets; 0: not known yet. */
  readonly rate: number;
}

export const NOTICE_ID_CHARS = 32;
const MARK_CHARS = 16;
const START = "CK-WAN * HTTP/1.1\r\n";
const MAX_NOTICE_BYTES = 256;
const FIELDS = /^Peer: ([0-9a-f]{32})\r\nSite: ([0-9a-f]{16})\r\nRate: (\d{1,12})\r\n\r\n$/;

/** Stands for a site's label of the configuration, or for none. */
export function siteMark(label: string | undefined): string {
  return toHex(sha256(Buffer.from(label ?? "", "utf8"))).slice(0, MARK_CHARS);
}

/** Text in the manner of BEP 14, as LAN announcements. */
export function encodeWanNotice({ peerId, site, rate }: WanNotice): Uint8Array {
  const id = peerId.slice(0, NOTICE_ID_CHARS);
  return Buffer.from(`${START}Peer: ${id}\r\nSite: ${site}\r\nRate: ${Math.round(rate)}\r\n\r\n`, "latin1");
}

/** True for a datagram of this kind, well-formed or not. */
export function isWanNotice(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, START.length)).toString("latin1") === START;
}

/**
 * Parses a datagram from the LAN, where anybody may send anything.
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
 */
export function decodeWanNotice(bytes: Uint8Array): WanNotice {
  const isShort = bytes.byteLength <= MAX_NOTICE_BYTES && isWanNotice(bytes);
  const text = isShort ? Buffer.from(bytes.subarray(START.length)).toString("latin1") : "";
  const [, peerId, site, rate] = FIELDS.exec(text) ?? [];
  if (peerId === undefined || site === undefined || rate === undefined)
    throw new AppError("ERR_WIRE_MESSAGE_INVALID", "LAN datagram that is no WAN notice");
  return { peerId, site, rate: Number(rate) };
}
