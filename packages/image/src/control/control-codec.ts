import type { KeyObject } from "node:crypto";
import { AppError, decodeMsgpack, encodeMsgpack, equalBytes, Fields, isAppError } from "@ckmesh/core";
import { parseImageName } from "../image-name.js";
import { checkSignatures, encodeSignatures, parseSignatures, type TrustPolicy } from "../signatures.js";
import {
  type ControlRecord,
  type FailureLimit,
  MAX_CONTROL_BYTES,
  MAX_GROUP_LENGTH,
  MAX_REASON_LENGTH,
  MAX_RING_GROUPS,
  MAX_RINGS,
  MAX_ROLLOUTS,
  MAX_WITHDRAWN,
  type Ring,
  type Rollout,
  type SignedControl,
  type Withdrawal,
} from "./control-record.js";

const MAGIC = Buffer.from("CKMC", "latin1");
const FORMAT = 1;
const CONTEXT = Buffer.from("ckmesh-control-1", "latin1");
/** Magic, u16 format, u16 reserved, u32 record bytes, u32 signatures bytes. */
const PREFIX_BYTES = 16;
const MAX = Number.MAX_SAFE_INTEGER;
const MAX_REPORTS = 1_000_000;
/** Features that a record may require of this reader: none yet. */
const FEATURES: ReadonlySet<string> = new Set();

/** True if `bytes` begin like a control record; what a server sends in the place of a missing file does not. */
export function hasControlMagic(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0;
}

/**
 * Encodes and signs a record: the content of `NAME.control.index`.
 * @throws {AppError} ERR_CONTROL_INVALID when it breaks the format or does not fit 64 KiB
 */
export function encodeControl(record: ControlRecord, signers: readonly KeyObject[]): Uint8Array {
  const recordBytes = encodeMsgpack(toPlain(record));
  const signatures = encodeSignatures(controlSigningBytes(record.name, recordBytes), signers);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  MAGIC.copy(prefix);
  prefix.writeUInt16LE(FORMAT, 4);
  prefix.writeUInt32LE(recordBytes.length, 8);
  prefix.writeUInt32LE(signatures.length, 12);
  const bytes = Buffer.concat([prefix, recordBytes, signatures]);
  // What is written must be readable: one place knows the rules.
  decodeControl(bytes);
  return bytes;
}

/**
 * Reads a whole control record. The signatures are only parsed: `checkControlTrust` decides whether they suffice.
 * @throws {AppError} ERR_CONTROL_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export function decodeControl(bytes: Uint8Array): SignedControl {
  if (bytes.length > MAX_CONTROL_BYTES) throw invalid(`it is longer than ${MAX_CONTROL_BYTES} bytes`);
  if (!hasControlMagic(bytes)) throw invalid("it does not begin with CKMC");
  // A copy: what comes out must not change with a reused buffer.
  const own = Buffer.from(bytes);
  if (own.length < PREFIX_BYTES) throw invalid("it is truncated");
  const format = own.readUInt16LE(4);
  if (format !== FORMAT) {
    throw unsupported(`it has format ${format}, this program reads format ${FORMAT}: update ckmesh`);
  }
  const end = PREFIX_BYTES + own.readUInt32LE(8);
  if (own.readUInt16LE(6) !== 0 || end + own.readUInt32LE(12) !== own.length) {
    throw invalid("its lengths do not add up");
  }
  const recordBytes = own.subarray(PREFIX_BYTES, end);
  const signatures = parseSignatures(own.subarray(end));
  if (signatures === undefined) throw invalid("its signatures have a wrong length");
  const record = parseRecord(decodeMsgpack(recordBytes, MAX_CONTROL_BYTES, "ERR_CONTROL_INVALID"));
  return { record, recordBytes, signatures };
}

/**
 * Requires a publisher's signature as `checkTrust` does for heads. Without configured publishers an unsigned record
 * counts only if it came over TLS: on the way nobody else may take versions away.
 * @throws {AppError} ERR_SIGNATURE_INVALID
 */
export function checkControlTrust(
  { record, recordBytes, signatures }: SignedControl,
  policy: TrustPolicy,
  isPrivate: boolean,
): void {
  if (policy.publishers.length === 0 && policy.signature === "whenConfigured" && !isPrivate) {
    throw new AppError(
      "ERR_SIGNATURE_INVALID",
      `control record of ${record.name}: without publishers it counts over https only; use https, or sign it and configure publishers`,
    );
  }
  checkSignatures(
    {
      what: `control record ${record.serial} of ${record.name}`,
      advice: "sign it with ckmesh image … --sign",
      message: controlSigningBytes(record.name, recordBytes),
      signatures,
    },
    policy,
  );
}

/**
 * Requires that a record may take the place of the one in force. The same one may come again.
 * @throws {AppError} ERR_CONTROL_OUTDATED with `details.serial` of the one in force
 */
export function checkControlSuccession(current: SignedControl | undefined, next: SignedControl): void {
  if (current === undefined || next.record.serial > current.record.serial) return;
  const { name, serial } = current.record;
  if (next.record.serial === serial && equalBytes(next.recordBytes, current.recordBytes)) return;
  throw new AppError(
    "ERR_CONTROL_OUTDATED",
    `control record ${next.record.serial} of ${name} is not newer than ${serial}, which is in force`,
    { details: { serial } },
  );
}

function controlSigningBytes(name: string, recordBytes: Uint8Array): Uint8Array {
  return Buffer.concat([CONTEXT, Buffer.from(name, "utf8"), recordBytes]);
}

function parseRecord(value: unknown): ControlRecord {
  const fields = new Fields(value, "control", "ERR_CONTROL_INVALID");
  const requires = fields.strings("requires", 32, 64);
  const unknown = requires.filter((feature) => !FEATURES.has(feature));
  if (unknown.length > 0) throw unsupported(`it needs ${unknown.join(", ")}: update ckmesh`);
  const record = {
    name: parseName(fields.string("name", 255)),
    serial: fields.int("serial", 1, MAX),
    createdAt: fields.int("createdAt", 0, MAX),
    requires,
    withdrawn: fields.list("withdrawn", MAX_WITHDRAWN).map(parseWithdrawal),
    rollouts: fields.list("rollouts", MAX_ROLLOUTS).map(parseRollout),
  };
  requireAscending("withdrawn", record.withdrawn);
  requireAscending("rollouts", record.rollouts);
  if (record.rollouts.some(({ since }) => since > record.serial)) {
    throw invalid("a rollout was decided by a later record than this one");
  }
  return record;
}

function parseName(text: string): string {
  try {
    return parseImageName(text);
  } catch (cause) {
    if (!isAppError(cause)) throw cause;
    throw new AppError("ERR_CONTROL_INVALID", "the control record names no valid image", { cause });
  }
}

function parseWithdrawal(value: unknown): Withdrawal {
  const fields = new Fields(value, "control.withdrawn[]", "ERR_CONTROL_INVALID");
  const version = fields.int("version", 1, MAX);
  return {
    version,
    ...(fields.has("reason") && { reason: fields.string("reason", MAX_REASON_LENGTH) }),
    ...(fields.has("backTo") && { backTo: fields.int("backTo", 1, version - 1) }),
  };
}

function parseRollout(value: unknown): Rollout {
  const fields = new Fields(value, "control.rollouts[]", "ERR_CONTROL_INVALID");
  const rings = fields.list("rings", MAX_RINGS).map(parseRing);
  const prefetchAt = fields.has("prefetchAt") ? fields.int("prefetchAt", 0, MAX) : undefined;
  const activateAt = fields.has("activateAt") ? fields.int("activateAt", 0, MAX) : undefined;
  if (prefetchAt !== undefined && activateAt !== undefined && prefetchAt > activateAt) {
    throw invalid("a version would be fetched later than it is to become active");
  }
  return {
    version: fields.int("version", 1, MAX),
    since: fields.int("since", 1, MAX),
    rings,
    approved: fields.int("approved", 0, rings.length),
    isHeld: fields.boolean("isHeld"),
    ...(fields.has("failureLimit") && { failureLimit: parseLimit(fields.map("failureLimit")) }),
    ...(prefetchAt !== undefined && { prefetchAt }),
    ...(activateAt !== undefined && { activateAt }),
  };
}

function parseRing(value: unknown): Ring {
  const fields = new Fields(value, "control.rings[]", "ERR_CONTROL_INVALID");
  const ring = {
    ...(fields.has("percent") && { percent: fields.number("percent", 0, 100) }),
    ...(fields.has("groups") && { groups: fields.strings("groups", MAX_RING_GROUPS, MAX_GROUP_LENGTH) }),
  };
  if (ring.percent === undefined && ring.groups === undefined)
    throw invalid("a ring needs percent or groups");
  return ring;
}

function parseLimit(fields: Fields): FailureLimit {
  return {
    percent: fields.number("percent", 0, 100),
    minReports: fields.int("minReports", 1, MAX_REPORTS),
  };
}

function requireAscending(what: string, list: readonly { readonly version: number }[]): void {
  const isAscending = list.every(({ version }, i) => version > (list[i - 1]?.version ?? 0));
  if (!isAscending) throw invalid(`its ${what} are not in ascending order of versions`);
}

/** Only what the format knows, in its order: a record that was parsed gives the same bytes again. */
function toPlain(record: ControlRecord): object {
  const { name, serial, createdAt, requires, withdrawn, rollouts } = record;
  return {
    name,
    serial,
    createdAt,
    requires,
    withdrawn: withdrawn.map(plainWithdrawal),
    rollouts: rollouts.map(plainRollout),
  };
}

function plainWithdrawal({ version, reason, backTo }: Withdrawal): object {
  return { version, ...(reason !== undefined && { reason }), ...(backTo !== undefined && { backTo }) };
}

function plainRing({ percent, groups }: Ring): object {
  return { ...(percent !== undefined && { percent }), ...(groups !== undefined && { groups }) };
}

function plainRollout(rollout: Rollout): object {
  const { version, since, rings, approved, isHeld, failureLimit, prefetchAt, activateAt } = rollout;
  return {
    version,
    since,
    rings: rings.map(plainRing),
    approved,
    isHeld,
    ...(failureLimit !== undefined && {
      failureLimit: { percent: failureLimit.percent, minReports: failureLimit.minReports },
    }),
    ...(prefetchAt !== undefined && { prefetchAt }),
    ...(activateAt !== undefined && { activateAt }),
  };
}

function invalid(problem: string): AppError {
  return new AppError("ERR_CONTROL_INVALID", `the control record cannot be read: ${problem}`);
}

function unsupported(problem: string): AppError {
  return new AppError("ERR_FORMAT_UNSUPPORTED", `the control record cannot be used: ${problem}`);
}
