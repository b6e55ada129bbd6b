import { AppError, decodeMsgpack, encodeMsgpack, Fields } from "@ckmesh/core";
import { parseIp, parseNetwork } from "./ip-address.js";
import { MAX_ROWS, MAX_VERSION, PEER_CLASSES, type PeerAddress } from "./peer-messages.js";
import { isSiteLabel, MAX_SITE_LABEL_LENGTH } from "./site-label.js";
import { MAX_TICKET_BYTES } from "./ticket.js";
import {
  type FromTracker,
  MAX_PEERS_PER_ANSWER,
  MAX_TRACKER_MESSAGE_BYTES,
  type ProgressReport,
  type ToTracker,
} from "./tracker-messages.js";

/** Most own addresses, and most own subnets, in one hello. */
export const MAX_HELLO_ADDRESSES = 16;
/** Most networks of a site. */
export const MAX_SITE_NETWORKS = 64;
/** Most names in `requires`, and their length. */
const MAX_REQUIRES = 16;
const MAX_REQUIRE_LENGTH = 64;
const MAX_IMAGE_LENGTH = 255;
const MAX_STATE_LENGTH = 32;
const MAX_REFUSAL_TEXT = 256;
const DAY_MS = 86_400_000;
const TO_TYPES = ["hello", "announce", "leave", "report", "published"] as const;
const FROM_TYPES = ["challenge", "welcome", "peers", "published", "refused"] as const;

/** @throws {AppError} ERR_WIRE_MESSAGE_INVALID when the message is too long */
export function encodeToTracker(message: ToTracker): Uint8Array {
  return bounded(encodeMsgpack(message));
}

/** @throws {AppError} ERR_WIRE_MESSAGE_INVALID when the message is too long */
export function encodeFromTracker(message: FromTracker): Uint8Array {
  if (message.type !== "peers") return bounded(encodeMsgpack(message));
  const peers = message.peers.map((peer) => [peer.address, peer.port]);
  return bounded(encodeMsgpack({ ...message, peers }));
}

/**
 * Parses what a client says. Every field is checked; unknown fields are ignored. Bytes are views into `bytes`.
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
 */
export function decodeToTracker(bytes: Uint8Array): ToTracker {
  const fields = new Fields(decodeMsgpack(bytes, MAX_TRACKER_MESSAGE_BYTES), "message");
  const type = fields.oneOf("type", TO_TYPES);
  switch (type) {
    case "hello":
      return hello(fields);
    case "announce": {
      const rows = fields.int("rows", 0, MAX_ROWS);
      return { type, swarm: fields.bytes("swarm", 32), have: fields.int("have", 0, rows), rows };
    }
    case "leave":
      return { type, swarm: fields.bytes("swarm", 32) };
    case "report":
      return { type, ...report(fields) };
    case "published":
      return { type, image: imageName(fields), version: fields.int("version", 1, MAX_VERSION) };
  }
}

/**
 * Parses what the tracker says. Every field is checked; unknown fields are ignored. Bytes are views.
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
 */
export function decodeFromTracker(bytes: Uint8Array): FromTracker {
  const fields = new Fields(decodeMsgpack(bytes, MAX_TRACKER_MESSAGE_BYTES), "message");
  const type = fields.oneOf("type", FROM_TYPES);
  switch (type) {
    case "challenge":
      return { type, nonce: fields.bytes("nonce", 16) };
    case "welcome":
      return {
        type,
        site: fields.string("site", 2 * MAX_SITE_LABEL_LENGTH),
        networks: networks(fields, "networks", MAX_SITE_NETWORKS),
        observed: ipText(fields.string("observed", 45), "observed"),
        announceMs: fields.int("announceMs", 1, DAY_MS),
      };
    case "peers":
      return {
        type,
        swarm: fields.bytes("swarm", 32),
        peers: fields.list("peers", MAX_PEERS_PER_ANSWER).map(peerAddress),
        complete: fields.boolean("complete"),
      };
    case "published":
      return { type, image: imageName(fields), version: fields.int("version", 1, MAX_VERSION) };
    case "refused":
      return {
        type,
        remoteCode: fields.string("remoteCode", 64),
        message: fields.string("message", MAX_REFUSAL_TEXT),
        retryMs: fields.int("retryMs", 0, DAY_MS),
      };
  }
}

function hello(fields: Fields): ToTracker {
  return {
    type: "hello",
    peerId: fields.bytes("peerId", 32),
    ...(fields.has("ticket") ? { ticket: fields.bytes("ticket", 1, MAX_TICKET_BYTES) } : {}),
    ...(fields.has("joinProof") ? { joinProof: fields.bytes("joinProof", 32) } : {}),
    ...(fields.has("site") ? { site: siteLabel(fields) } : {}),
    addresses: fields.strings("addresses", MAX_HELLO_ADDRESSES, 45).map((a) => ipText(a, "addresses")),
    subnets: networks(fields, "subnets", MAX_HELLO_ADDRESSES),
    port: fields.int("port", 0, 65_535),
    peerClass: fields.oneOf("peerClass", PEER_CLASSES),
    requires: fields.strings("requires", MAX_REQUIRES, MAX_REQUIRE_LENGTH),
    claimRules: fields.int("claimRules", 0, 65_535),
  };
}

function report(fields: Fields): ProgressReport {
  const bytes = fields.map("bytes");
  const count = (key: string): number => bytes.int(key, 0, Number.MAX_SAFE_INTEGER);
  const rows = fields.int("rows", 0, MAX_ROWS);
  return {
    image: imageName(fields),
    version: fields.int("version", 1, MAX_VERSION),
    state: printable(fields.string("state", MAX_STATE_LENGTH), "state"),
    have: fields.int("have", 0, rows),
    rows,
    bytes: {
      previous: count("previous"),
      delta: count("delta"),
      host: count("host"),
      peers: count("peers"),
      origin: count("origin"),
      wasted: count("wasted"),
    },
  };
}

function imageName(fields: Fields): string {
  const name = printable(fields.string("image", MAX_IMAGE_LENGTH), "image");
  if (name === "" || /[/\\]/.test(name)) throw invalid("image", "an image name");
  return name;
}

function siteLabel(fields: Fields): string {
  const label = fields.string("site", MAX_SITE_LABEL_LENGTH);
  if (!isSiteLabel(label)) throw invalid("site", "a site label");
  return label;
}

function networks(fields: Fields, key: string, maxItems: number): readonly string[] {
  return fields.strings(key, maxItems, 49).map((text) => {
    if (parseNetwork(text) === undefined) throw invalid(key, "networks such as 10.1.0.0/16");
    return text;
  });
}

function peerAddress(item: unknown): PeerAddress {
  if (!Array.isArray(item) || item.length !== 2) throw invalid("peers", "pairs of address and port");
  const fields = new Fields({ address: item[0], port: item[1] }, "peer");
  return { address: ipText(fields.string("address", 45), "peers"), port: fields.int("port", 1, 65_535) };
}

function ipText(text: string, key: string): string {
  if (parseIp(text) === undefined) throw invalid(key, "IP literals");
  return text;
}

function printable(text: string, key: string): string {
  if (/\p{C}/u.test(text)) throw invalid(key, "printable text");
  return text;
}

function bounded(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength > MAX_TRACKER_MESSAGE_BYTES) throw invalid("length", "at most 16 KiB");
  return bytes;
}

function invalid(key: string, wanted: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `message.${key} must be ${wanted}`);
}
