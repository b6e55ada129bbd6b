import type { PeerMessage } from "@ckmesh/wire";

/** About what the message takes on the wire, with framing; the bytes of a piece aside. */
export function messageBytes(message: PeerMessage): number {
  switch (message.type) {
    case "bitfield":
      return 6 + message.bits.byteLength;
    case "promise":
      return 180 + 8 * message.promise.runs.length;
    case "claim":
      return 230;
    case "have":
    case "lost":
    case "bad-rows":
      return 24 + 8 * message.runs.length;
    case "peers":
      return 24 + 30 * message.peers.length;
    case "neighbours":
      return 24 + 10 * message.ids.length;
    case "newer":
      return 32;
    case "request":
    case "cancel":
    case "reject":
      return 17;
    case "piece":
      return 13;
    case "choke":
    case "unchoke":
    case "interested":
    case "not-interested":
    case "have-all":
    case "have-none":
      return 5;
  }
}
