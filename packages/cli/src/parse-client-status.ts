import type {
  ClearanceStatus,
  ClientStatus,
  ControlStatus,
  ImageStatus,
  StatusError,
  TrimStatus,
  VersionStatus,
  WanStatus,
} from "@ckmesh/client";
import { ERROR_CODES, Fields } from "@ckmesh/core";

const MAX = Number.MAX_SAFE_INTEGER;
const MAX_IMAGES = 10_000;
const MAX_TEXT = 10_000;
const STATES = ["available", "proposed", "fetching", "verified", "staged", "active", "superseded"] as const;

/**
 * The answer of a client, which may be another version of this program.
 * @throws {AppError} ERR_INTERNAL when it is no status
 */
export function parseClientStatus(value: unknown): ClientStatus {
  const f = new Fields(value, "status", "ERR_INTERNAL");
  return {
    store: f.string("store", MAX_TEXT),
    running: f.boolean("running"),
    ...(f.has("origin") && { origin: f.string("origin", MAX_TEXT) }),
    ...(f.has("site") && { site: f.string("site", MAX_TEXT) }),
    ...(f.has("tracker") && { tracker: f.oneOf("tracker", ["connected", "away"]) }),
    ...(f.has("peerPort") && { peerPort: f.int("peerPort", 0, 65_535) }),
    ...(f.has("inbound") && { inbound: f.oneOf("inbound", ["seen", "none"]) }),
    ...(f.has("peerId") && { peerId: f.string("peerId", MAX_TEXT) }),
    ...(f.has("nextCheckAt") && { nextCheckAt: f.string("nextCheckAt", MAX_TEXT) }),
    ...(f.has("wan") && { wan: parseWan(f.map("wan")) }),
    ...(f.has("trim") && { trim: parseTrim(f.map("trim")) }),
    ...(f.has("lastError") && { lastError: parseStatusError(f.map("lastError")) }),
    images: f.list("images", MAX_IMAGES).map(parseImage),
  };
}

function parseWan(f: Fields): WanStatus {
  return {
    mode: f.oneOf("mode", ["off", "slow", "full", "rate"]),
    reason: f.oneOf("reason", ["configuration", "timetable", "override"]),
    ...(f.has("until") && { until: f.string("until", MAX_TEXT) }),
    ...(f.has("bytesPerSec") && { bytesPerSec: f.number("bytesPerSec", 0, MAX) }),
    ...(f.has("yieldingTo") && { yieldingTo: f.number("yieldingTo", 0, MAX) }),
    ...(f.has("bestBytesPerSec") && { bestBytesPerSec: f.number("bestBytesPerSec", 0, MAX) }),
  };
}

function parseTrim(f: Fields): TrimStatus {
  return {
    scanning: f.boolean("scanning"),
    files: f.int("files", 0, MAX),
    blocks: f.int("blocks", 0, MAX),
    ...(f.has("problem") && { problem: f.string("problem", MAX_TEXT) }),
  };
}

function parseImage(value: unknown): ImageStatus {
  const f = new Fields(value, "image", "ERR_INTERNAL");
  return {
    name: f.string("name", MAX_TEXT),
    ...(f.has("policy") && { policy: f.oneOf("policy", ["auto", "suggest", "manual"]) }),
    ...(f.has("active") && { active: f.int("active", 1, MAX) }),
    ...(f.has("lastError") && { lastError: parseStatusError(f.map("lastError")) }),
    ...(f.has("control") && { control: parseControl(f.map("control")) }),
    versions: f.list("versions", MAX_IMAGES).map(parseVersion),
  };
}

function parseVersion(value: unknown): VersionStatus {
  const f = new Fields(value, "version", "ERR_INTERNAL");
  const [bytes, wasted, rate] = [f.map("bytes"), f.map("wasted"), f.map("rate")];
  return {
    version: f.int("version", 1, MAX),
    id: f.string("id", MAX_TEXT),
    state: f.oneOf("state", STATES),
    swarming: parseSwarming(f),
    haveRows: f.int("haveRows", 0, MAX),
    rows: f.int("rows", 0, MAX),
    needed: f.int("needed", 0, MAX),
    bytes: {
      previous: bytes.int("previous", 0, MAX),
      delta: bytes.int("delta", 0, MAX),
      host: bytes.int("host", 0, MAX),
      peers: bytes.int("peers", 0, MAX),
      origin: bytes.int("origin", 0, MAX),
    },
    wasted: {
      rejected: wasted.int("rejected", 0, MAX),
      duplicate: wasted.int("duplicate", 0, MAX),
      retried: wasted.int("retried", 0, MAX),
      origin: wasted.int("origin", 0, MAX),
    },
    rate: { peers: rate.number("peers", 0, MAX), origin: rate.number("origin", 0, MAX) },
    peers: f.int("peers", 0, MAX),
    ...(f.has("disk") && { disk: f.string("disk", MAX_TEXT) }),
    ...(f.has("importing") && { importing: f.string("importing", MAX_TEXT) }),
    ...(f.has("clearance") && { clearance: parseClearance(f.map("clearance")) }),
    ...(f.has("error") && { error: parseStatusError(f.map("error")) }),
  };
}

function parseControl(f: Fields): ControlStatus {
  return {
    serial: f.int("serial", 0, MAX),
    held: f.list("held", MAX_IMAGES).filter((each): each is number => Number.isSafeInteger(each)),
    ...(f.has("problem") && { problem: parseStatusError(f.map("problem")) }),
  };
}

function parseClearance(f: Fields): ClearanceStatus {
  return {
    type: f.oneOf("type", ["ring", "held", "early", "prefetch", "withdrawn"]),
    ...(f.has("until") && { until: f.string("until", MAX_TEXT) }),
    ...(f.has("reason") && { reason: f.string("reason", MAX_TEXT) }),
  };
}

/** True, false, or why it is not shared. */
function parseSwarming(f: Fields): boolean | string {
  try {
    return f.boolean("swarming");
  } catch {
    // Then it has to be the reason.
    return f.string("swarming", MAX_TEXT);
  }
}

export function parseStatusError(f: Fields): StatusError {
  const code = f.string("code", MAX_TEXT);
  return {
    code: ERROR_CODES.find((known) => known === code) ?? "ERR_INTERNAL",
    message: f.string("message", MAX_TEXT),
  };
}
