import type { PublisherSignature } from "../signatures.js";

/**
 * What the publisher of an image says of its versions after they were published: `NAME.control.index` beside them. It
 * only ever takes away or delays: without it every version is for everybody at once.
 */
export interface ControlRecord {
  /** Of the image. */
  readonly name: string;
  /** Grows with each record of the image: an older one never counts again. */
  readonly serial: number;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Features that a reader must know to obey this record. */
  readonly requires: readonly string[];
  /** In ascending order of versions. */
  readonly withdrawn: readonly Withdrawal[];
  /** In ascending order of versions; a version without an entry is for everybody at once. */
  readonly rollouts: readonly Rollout[];
}

/** A version that nobody is to use: who has it active goes back. */
export interface Withdrawal {
  readonly version: number;
  /** For people, at most 500 characters. */
  readonly reason?: string;
  /** The last good version, lower than `version`: clients accept nothing below it in its place. */
  readonly backTo?: number;
}

/** Who may have a version, and when. */
export interface Rollout {
  readonly version: number;
  /**
   * Serial of the record that last decided about this version. What clients reported before it does not count any
   * more, and it ends a hold of the origin's own.
   */
  readonly since: number;
  /** One after the other; after the last one everybody. Empty: everybody from the beginning. */
  readonly rings: readonly Ring[];
  /** Rings that were found good, 0 to `rings.length`: rings 0 to `approved` may have it, then everybody. */
  readonly approved: number;
  /** Nobody else begins with it or makes it active. */
  readonly isHeld: boolean;
  readonly failureLimit?: FailureLimit;
  /** Unix seconds: not fetched before; absent = at once. */
  readonly prefetchAt?: number;
  /** Unix seconds: not active before; absent = at once. */
  readonly activateAt?: number;
}

/** A client belongs to it by its share or by one of its groups. */
export interface Ring {
  /** Of all clients of the image, 0 to 100; always the same ones for one version, and those of a smaller share among them. */
  readonly percent?: number;
  readonly groups?: readonly string[];
}

/** When the origin holds a rollout by itself. */
export interface FailureLimit {
  /** Held when more than this share of `failed + active` has failed, 0 to 100. */
  readonly percent: number;
  /** Not judged before so many clients have reported one or the other. */
  readonly minReports: number;
}

export interface SignedControl {
  readonly record: ControlRecord;
  /** The msgpack bytes of the record, as signed. */
  readonly recordBytes: Uint8Array;
  readonly signatures: readonly PublisherSignature[];
}

/** Most bytes of a control record with its signatures. */
export const MAX_CONTROL_BYTES = 64 * 1024;
export const MAX_WITHDRAWN = 1000;
export const MAX_ROLLOUTS = 64;
export const MAX_RINGS = 16;
export const MAX_RING_GROUPS = 100;
export const MAX_GROUP_LENGTH = 64;
export const MAX_REASON_LENGTH = 500;

/** What holds as long as nobody has said anything. */
export function emptyControl(name: string): ControlRecord {
  return { name, serial: 0, createdAt: 0, requires: [], withdrawn: [], rollouts: [] };
}

/**
 * The serial of the next record: the clock's, so that it also grows when the last record was lost.
 * @param previous of the record that it takes the place of
 */
export function nextControlSerial(previous: number | undefined, nowSeconds: number): number {
  return Math.max((previous ?? 0) + 1, Math.floor(nowSeconds));
}

export function withdrawalOf(record: ControlRecord, version: number): Withdrawal | undefined {
  return record.withdrawn.find((w) => w.version === version);
}

export function rolloutOf(record: ControlRecord, version: number): Rollout | undefined {
  return record.rollouts.find((r) => r.version === version);
}
