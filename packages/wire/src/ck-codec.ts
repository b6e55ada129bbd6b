import { AppError, decodeMsgpack, encodeMsgpack, Fields, type Run, toHex } from "@ckmesh/core";
import { parseIp } from "./ip-address.js";
import { peerIdOf } from "./peer-identity.js";
import {
  type CkMessage,
  type Claim,
  type ClaimState,
  MAX_CK_MESSAGE_BYTES,
  MAX_CLAIM_PAUSE_MS,
  MAX_PROMISE_RUNS,
  MAX_ROWS,
  MAX_VERSION,
  type NamedPeer,
  PEER_CLASSES,
  type PeerAddress,
  type PeerClass,
  type RowPromise,
} from "./peer-messages.js";

/** What two ends of a link settle between themselves, also under the extension `ck`. */
export type LinkMessage =
  /** First message of each side. Signed: see `identitySigningBytes`. */
  | {
      readonly type: "identity";
      /** Raw Ed25519 public key, 32 bytes; its SHA-256 is the peer id. */
      readonly key: Uint8Array;
      readonly signature: Uint8Array;
      /** The 32-byte version id: the whole of what the infohash abbreviates. */
      readonly versionId: Uint8Array;
      readonly requires: readonly string[];
      readonly claimRules: number;
      readonly peerClass: PeerClass;
      /** Where the sender listens; 0 when nobody can connect. */
      readonly port: number;
    }
  /** Answered at once with `reply` set and the same nonce; gives the round-trip time. */
  | { readonly type: "probe"; readonly nonce: number; readonly reply: boolean };

/** Most runs in one message; more are split by the sender. */
export const MAX_RUNS = 4096;
/** Most addresses in one `peers`; site swarm, dial policy. */
export const MAX_PEERS_PER_MESSAGE = 50;
/** Most peer ids in one `neighbours`: more links than anybody keeps. */
const MAX_NEIGHBOURS = 64;
/** Claims travel at most this many hops; site swarm rule 3. */
export const MAX_CLAIM_HOPS = 4;
const PREFIX_BYTES = 8;
const MAX_REQUIRES = 16;
const MAX_REQUIRE_LENGTH = 64;
const MAX_RATE = 1e12;

const TYPES = [
  "have",
  "lost",
  "claim",
  "promise",
  "peers",
  "neighbours",
  "newer",
  "bad-rows",
  "identity",
  "probe",
] as const;
const STATES: readonly ClaimState[] = ["open", "moving", "done", "released", "paused"];

/**
 * A claim that no receiver would take is a bug of this side and throws a plain error.
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID when the message is too long to send
 */
export function encodeCk(message: CkMessage | LinkMessage): Uint8Array {
  const bytes = encodeMsgpack(toWire(message));
  if (bytes.byteLength > MAX_CK_MESSAGE_BYTES) throw invalid(`${message.type} of ${bytes.byteLength} bytes`);
  return bytes;
}

/**
 * Parses one message of the extension `ck` from a peer. Every field is checked: runs are ascending and apart,
 * addresses are IP literals. Signatures are not checked here. Unknown fields are ignored; byte fields are copies.
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
 */
export function decodeCk(bytes: Uint8Array): CkMessage | LinkMessage {
  const fields = new Fields(decodeMsgpack(bytes, MAX_CK_MESSAGE_BYTES), "ck");
  const type = fields.oneOf("type", TYPES);
  switch (type) {
    case "have":
    case "lost":
    case "bad-rows":
      return { type, runs: runsOf(fields, MAX_RUNS) };
    case "claim":
      return { type, claim: claimOf(fields.map("claim")), hops: fields.int("hops", 0, MAX_CLAIM_HOPS) };
    case "promise":
      return {
        type,
        promise: promiseOf(fields.map("promise")),
        hops: fields.int("hops", 0, MAX_CLAIM_HOPS),
      };
    case "peers":
      return { type, peers: namedPeers(fields) };
    case "neighbours":
      return { type, ids: fields.list("ids", MAX_NEIGHBOURS).map(prefixOf) };
    case "newer":
      return { type, version: fields.int("version", 1, MAX_VERSION) };
    case "identity":
      return {
        type,
        key: copyOf(fields.bytes("key", 32)),
        signature: copyOf(fields.bytes("signature", 64)),
        versionId: copyOf(fields.bytes("versionId", 32)),
        requires: fields.strings("requires", MAX_REQUIRES, MAX_REQUIRE_LENGTH),
        claimRules: fields.int("claimRules", 0, 65_535),
        peerClass: fields.oneOf("peerClass", PEER_CLASSES),
        port: fields.int("port", 0, 65_535),
      };
    case "probe":
      return { type, nonce: fields.int("nonce", 0, 2 ** 32 - 1), reply: fields.boolean("reply") };
  }
}

function toWire(message: CkMessage | LinkMessage): unknown {
  switch (message.type) {
    case "have":
    case "lost":
    case "bad-rows":
      return { type: message.type, runs: flatRuns(message.runs) };
    case "claim": {
      // The claimer is the hash of the key: not sent, so that it cannot disagree.
      const { span, rows, epoch, bytesDone, rate, state, pauseMs, key, signature } = message.claim;
      const isSound = isCount(span) && isCount(epoch) && isCount(bytesDone) && rate >= 0 && rate <= MAX_RATE;
      if (!isSound) throw new Error(`unreachable: claim ${JSON.stringify({ span, epoch, bytesDone, rate })}`);
      if (state === "paused" ? !isPause(pauseMs) : pauseMs !== undefined)
        throw new Error(`unreachable: ${state} claim with a pause of ${pauseMs} ms`);
      const claim = {
        span,
        rows: [rows.first, rows.count],
        epoch,
        bytesDone,
        rate,
        state,
        ...(pauseMs !== undefined && { pauseMs }),
        key,
        signature,
      };
      return { type: "claim", claim, hops: message.hops };
    }
    case "promise": {
      const { runs, epoch, key, signature } = message.promise;
      if (runs.length > MAX_PROMISE_RUNS || !isCount(epoch))
        throw new Error(`unreachable: promise of ${runs.length} runs, epoch ${epoch}`);
      const promise = { runs: flatRuns(runs), epoch, key, signature };
      return { type: "promise", promise, hops: message.hops };
    }
    case "peers":
      return {
        type: "peers",
        peers: message.peers.map((peer) => [peer.address, peer.port]),
        // Beside the addresses, as they came later. Empty where the id is not known.
        ids: message.peers.map(({ id }) => Buffer.from(id ?? "", "hex")),
      };
    case "neighbours":
      return { type: "neighbours", ids: message.ids.map((id) => Buffer.from(id, "hex")) };
    case "newer":
    case "identity":
    case "probe":
      return message;
  }
}

function claimOf(fields: Fields): Claim {
  const key = copyOf(fields.bytes("key", 32));
  const state = fields.oneOf("state", STATES);
  return {
    span: fields.int("span", 0, MAX_ROWS),
    rows: runOf(fields.list("rows", 2)),
    claimer: toHex(peerIdOf(key)),
    epoch: fields.int("epoch", 0, Number.MAX_SAFE_INTEGER),
    bytesDone: fields.int("bytesDone", 0, Number.MAX_SAFE_INTEGER),
    rate: fields.number("rate", 0, MAX_RATE),
    state,
    ...(state === "paused" && { pauseMs: fields.int("pauseMs", 1, MAX_CLAIM_PAUSE_MS) }),
    key,
    signature: copyOf(fields.bytes("signature", 64)),
  };
}

function promiseOf(fields: Fields): RowPromise {
  const key = copyOf(fields.bytes("key", 32));
  return {
    runs: runsOf(fields, MAX_PROMISE_RUNS),
    promiser: toHex(peerIdOf(key)),
    epoch: fields.int("epoch", 0, Number.MAX_SAFE_INTEGER),
    key,
    signature: copyOf(fields.bytes("signature", 64)),
  };
}

function flatRuns(runs: readonly Run[]): number[] {
  return runs.flatMap((run) => [run.first, run.count]);
}

function runsOf(fields: Fields, maxRuns: number): readonly Run[] {
  const flat = fields.list("runs", 2 * maxRuns);
  const runs: Run[] = [];
  let after = 0;
  for (let i = 0; i < flat.length; i += 2) {
    const run = runOf(flat.slice(i, i + 2));
    // Ascending and apart: whoever walks the runs touches each row at most once.
    if (run.first < after) throw invalid("runs that overlap or are out of order");
    after = run.first + run.count;
    runs.push(run);
  }
  return runs;
}

function runOf(pair: readonly unknown[]): Run {
  const [first, count] = pair;
  if (!isCount(first) || !isCount(count) || count === 0 || first + count > MAX_ROWS)
    throw invalid("a bad run");
  return { first, count };
}

/** Not `slice`: that of a Buffer is a view, and would keep the whole message alive. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isPause(value: unknown): boolean {
  return isCount(value) && value >= 1 && value <= MAX_CLAIM_PAUSE_MS;
}

function namedPeers(fields: Fields): NamedPeer[] {
  const peers = fields.list("peers", MAX_PEERS_PER_MESSAGE).map(addressOf);
  if (!fields.has("ids")) return peers;
  const ids = fields.list("ids", MAX_PEERS_PER_MESSAGE);
  if (ids.length !== peers.length) throw invalid("ids of other peers than it names");
  return peers.map(({ address, port }, i) => {
    const id = ids[i];
    const isUnknown = id instanceof Uint8Array && id.byteLength === 0;
    return isUnknown ? { address, port } : { address, port, id: prefixOf(id) };
  });
}

function addressOf(item: unknown): PeerAddress {
  if (!Array.isArray(item) || item.length !== 2) throw invalid("an address that is no pair");
  const fields = new Fields({ address: item[0], port: item[1] }, "ck.peers");
  const address = fields.string("address", 45);
  if (parseIp(address) === undefined) throw invalid("an address that is no IP literal");
  return { address, port: fields.int("port", 1, 65_535) };
}

function prefixOf(item: unknown): string {
  if (!(item instanceof Uint8Array) || item.byteLength !== PREFIX_BYTES) throw invalid("a bad neighbour");
  return toHex(item);
}

function invalid(what: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `ck message with ${what}`);
}
