import { AppError, fromHex, toHex } from "@ckmesh/core";

/** What a client shouts into its LAN: "whoever has these swarms finds me at this port". */
export interface LanAnnouncement {
  /** TCP port of the sender's peer listener. */
  readonly port: number;
  /** 8 random bytes of the sender's run: tells it its own datagrams. */
  readonly cookie: Uint8Array;
  /** An answer to somebody's announcement: not answered again. */
  readonly isAnswer: boolean;
  /** The first LAN_ID_BYTES of each swarm's public id. */
  readonly swarms: readonly Uint8Array[];
}

/** Bytes of a swarm's public id that an announcement shows. */
export const LAN_ID_BYTES = 16;
/** Most swarms in one datagram: it stays below 1,280 bytes, the smallest MTU of IPv6. */
export const MAX_SWARMS_PER_DATAGRAM = 24;
const MAX_DATAGRAM_BYTES = 1400;
const COOKIE_BYTES = 8;
const REQUEST_LINE = "CK-SEARCH * HTTP/1.1";

/** Text in the manner of BEP 14: a request line, `Name: value` lines, an empty line. */
export function encodeLanAnnouncement(announcement: LanAnnouncement): Uint8Array {
  if (announcement.swarms.length === 0 || announcement.swarms.length > MAX_SWARMS_PER_DATAGRAM) {
    throw new Error(`unreachable: announcement of ${announcement.swarms.length} swarms`);
  }
  const lines = [
    REQUEST_LINE,
    `Port: ${announcement.port}`,
    `Cookie: ${toHex(announcement.cookie)}`,
    ...(announcement.isAnswer ? ["Answer: 1"] : []),
    ...announcement.swarms.map((id) => `Swarm: ${toHex(id.subarray(0, LAN_ID_BYTES))}`),
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/**
 * Parses a datagram from the LAN, where anybody may send anything.
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
 */
export function decodeLanAnnouncement(bytes: Uint8Array): LanAnnouncement {
  if (bytes.byteLength > MAX_DATAGRAM_BYTES) throw invalid("too long");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  if (!text.startsWith(`${REQUEST_LINE}\r\n`) || !text.endsWith("\r\n\r\n")) throw invalid("of another kind");
  let port: number | undefined;
  let cookie: Uint8Array | undefined;
  let isAnswer = false;
  const swarms: Uint8Array[] = [];
  for (const line of text.slice(REQUEST_LINE.length + 2, -4).split("\r\n")) {
    const colon = line.indexOf(": ");
    const value = line.slice(colon + 2);
    switch (line.slice(0, Math.max(0, colon)).toLowerCase()) {
      case "port":
        if (!/^[1-9]\d{0,4}$/.test(value) || Number(value) > 65_535) throw invalid("with a bad port");
        port = Number(value);
        break;
      case "cookie":
        cookie = fromHex(value, COOKIE_BYTES);
        break;
      case "answer":
        isAnswer = value === "1";
        break;
      case "swarm": {
        const id = fromHex(value, LAN_ID_BYTES);
        if (id === undefined || swarms.length === MAX_SWARMS_PER_DATAGRAM) throw invalid("with bad swarms");
        swarms.push(id);
        break;
      }
      default: // other headers are left to later versions
    }
  }
  if (port === undefined || cookie === undefined || swarms.length === 0) throw invalid("that lacks a field");
  return { port, cookie, isAnswer, swarms };
}

function invalid(what: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `LAN datagram ${what}`);
}
