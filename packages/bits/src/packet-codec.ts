import { contentCoded, contentLengthMissing, invalidPacket } from "./bits-fault.js";
import { formatFragmentRange, fragmentLength, parseFragmentRange } from "./content-range.js";
import { HEADER, type HeaderFields } from "./header-names.js";
import type { BitsPacket, PacketHead } from "./packet.js";
import { BITS_PROTOCOL, namesBitsProtocol } from "./protocol-list.js";

/** Windows' limit for the value of one header field ([MC-BUP] <2>), in bytes. */
export const MAX_HEADER_VALUE_BYTES = 4096;
/** A Kerberos token of a user in many groups is longer; the limit of the whole head holds. */
const UNLIMITED_FIELDS: ReadonlySet<string> = new Set(["authorization", "proxy-authorization"]);

const TYPES: ReadonlyMap<string, BitsPacket["type"]> = new Map([
  ["ping", "ping"],
  ["create-session", "create"],
  ["fragment", "fragment"],
  ["close-session", "close"],
  ["cancel-session", "cancel"],
]);

const NAMES: Readonly<Record<BitsPacket["type"], string>> = {
  ping: "Ping",
  create: "Create-Session",
  fragment: "Fragment",
  close: "Close-Session",
  cancel: "Cancel-Session",
};

/**
 * First of the server's checks ([MC-BUP] 3.2.5.2.3): is this a message? After it come the caller's rights, then
 * `requireContentLength`, the session, and `parsePacket`.
 * @throws {BitsFault} 400 for an unknown or missing type, a header value above 4 KB, or no session id
 */
export function parsePacketHead(headers: HeaderFields): PacketHead {
  for (const [name, value] of Object.entries(headers)) {
    if (UNLIMITED_FIELDS.has(name)) continue;
    for (const one of typeof value === "string" ? [value] : (value ?? [])) {
      if (one.length > MAX_HEADER_VALUE_BYTES) throw invalidPacket(`the value of ${name} is too long`);
    }
  }
  const type = TYPES.get(single(headers, HEADER.packetType)?.toLowerCase() ?? "");
  if (type === undefined) throw invalidPacket("there is no known BITS-Packet-Type");
  if (type === "ping" || type === "create") return { type };
  const sessionId = single(headers, HEADER.sessionId);
  if (sessionId === undefined || sessionId === "") throw invalidPacket("there is no BITS-Session-Id");
  return { type, sessionId };
}

/**
 * @param contentLength undefined when the client did not state it
 * @throws {BitsFault} 411 when it is missing, 400 when a packet other than Fragment has a body
 */
export function requireContentLength(head: PacketHead, contentLength: number | undefined): number {
  if (contentLength === undefined) throw contentLengthMissing();
  if (head.type !== "fragment" && contentLength > 0) throw invalidPacket("only fragments have a body");
  return contentLength;
}

/**
 * Last of the checks: what belongs to the type of packet.
 * @throws {BitsFault} 400 for no common protocol or a bad Content-Range, 415 for a coded body, 500 with
 *   BG_E_TOO_LARGE for a total beyond what can be counted
 */
export function parsePacket(head: PacketHead, headers: HeaderFields, contentLength: number): BitsPacket {
  switch (head.type) {
    case "ping":
      return { type: "ping" };
    case "create":
      if (!namesBitsProtocol(single(headers, HEADER.supportedProtocols) ?? "")) {
        throw invalidPacket("there is no common protocol in BITS-Supported-Protocols");
      }
      return { type: "create" };
    case "fragment": {
      const fragment = parseFragmentRange(single(headers, "content-range") ?? "", contentLength);
      const coding = single(headers, "content-encoding")?.trim().toLowerCase() ?? "identity";
      if (coding !== "identity") throw contentCoded(coding);
      return { type: "fragment", sessionId: head.sessionId, fragment };
    }
    case "close":
    case "cancel":
      return { type: head.type, sessionId: head.sessionId };
  }
}

/** A field that must not be repeated: repeated ones are joined, so that no check takes them for a single one. */
function single(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  return (typeof value === "string" || value === undefined ? value : value.join(", "))?.trim();
}

/** Header fields of a request, Content-Length included. */
export function encodePacket(packet: BitsPacket): Readonly<Record<string, string>> {
  const common = { "BITS-Packet-Type": NAMES[packet.type], "Content-Length": "0" };
  switch (packet.type) {
    case "ping":
      return common;
    case "create":
      return { ...common, "BITS-Supported-Protocols": BITS_PROTOCOL };
    case "fragment":
      return {
        ...common,
        "BITS-Session-Id": packet.sessionId,
        "Content-Range": formatFragmentRange(packet.fragment),
        "Content-Length": String(fragmentLength(packet.fragment)),
      };
    case "close":
    case "cancel":
      return { ...common, "BITS-Session-Id": packet.sessionId };
  }
}
