/** An upload under way, as far as room is concerned. */
export interface UploadRoom {
  readonly id: string;
  /** Whose it is, as `ownerName` has it. */
  readonly owner: string;
  /** Bytes that it holds. */
  readonly received: number;
  /** Of the whole file; undefined before its first fragment. */
  readonly total: number | undefined;
  /** A packet of it runs. */
  readonly isBusy: boolean;
}

/** What was promised to one upload. Times are monotonic, in ms. */
interface Lease {
  /** When the upload was let begin, and what it held then. */
  readonly since: number;
  readonly from: number;
  /** Until then its average is not looked at. */
  readonly graceUntil: number;
  /** Most that it held after a packet. */
  readonly received: number;
  /** Silence until then is borne. */
  readonly until: number;
}

/** BITS comes again ten minutes after an error, if the job does not say otherwise; a lease outlives that. */
export const LEASE_MS = 15 * 60_000;
/** What was promised has to come within this, in proportion: 100 GB at 1.2 MB/s on average. */
export const LEASE_WHOLE_MS = 24 * 3_600_000;
/** Until the average counts, once a day for each user; and who was silent for so long after a lease had lapsed begins anew. */
export const LEASE_GRACE_MS = 3_600_000;

/**
 * Room that was promised to uploads. Whoever is let begin has room for the whole file as long as it sends, so that two
 * uploads which fit one after the other never stop each other half way: the one that does not fit beside the other is
 * refused before its first byte. The promise of an upload that is silent lapses, and so does that of one too slow to be
 * through in a day, which could hold all room with a byte now and then; what they brought stays, and they go on
 * whenever there is room: a forgotten session must not block the folder until it expires. Some upload can always go on
 * then, the last one that was let begin: there was room for all of it beside what the others held, and they hold no
 * more now. The hour in which the average is not looked at is one for all uploads that a user begins within a day: with
 * one for each, a new session every hour would hold all room for ever.
 */
export class SpaceLeases {
  /** By id of the upload. */
  readonly #leases = new Map<string, Lease>();
  /** When the hour of each user began; those that may have another are forgotten. */
  readonly #graces = new Map<string, number>();

  /**
   * An upload is let send. A lease that holds is not made longer, and one that lapsed a short while ago goes on where
   * it was: asking alone must not buy time.
   * @returns takes it back: there is no room after all
   */
  grant({ id, owner, received }: UploadRoom, now: number): () => void {
    const before = this.#leases.get(id);
    if (before === undefined || before.until + LEASE_GRACE_MS <= now) {
      const graceUntil = this.#graceOf(owner, now) + LEASE_GRACE_MS;
      this.#leases.set(id, { since: now, from: received, received, graceUntil, until: now + LEASE_MS });
    } else if (before.until <= now) {
      this.#leases.set(id, { ...before, until: now + LEASE_MS });
    }
    return () => {
      if (before === undefined) this.#leases.delete(id);
      else this.#leases.set(id, before);
      // The hour that began with this question.
      if (this.#graces.get(owner) === now) this.#graces.delete(owner);
    };
  }

  /** After a packet: only one that brought something renews, and only what was granted. */
  renew({ id, received }: UploadRoom, now: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined || received <= lease.received) return;
    this.#leases.set(id, { ...lease, received, until: now + LEASE_MS });
  }

  /** The upload has ended. */
  end(id: string): void {
    this.#leases.delete(id);
  }

  /** Bytes still to come for which others than `id` have the promise. */
  promisedBytes(uploads: Iterable<UploadRoom>, id: string | undefined, now: number): number {
    let promised = 0;
    for (const upload of uploads) {
      const lease = this.#leases.get(upload.id);
      if (upload.id === id || lease === undefined || !isHeld(lease, upload, now)) continue;
      promised += Math.max(0, (upload.total ?? 0) - upload.received);
    }
    return promised;
  }

  /** When the hour of a user began: now, or within the last day. */
  #graceOf(owner: string, now: number): number {
    for (const [other, since] of this.#graces) if (since + LEASE_WHOLE_MS <= now) this.#graces.delete(other);
    const since = this.#graces.get(owner) ?? now;
    this.#graces.set(owner, since);
    return since;
  }
}

function isHeld({ since, from, graceUntil, until }: Lease, upload: UploadRoom, now: number): boolean {
  if (until <= now && !upload.isBusy) return false;
  const ms = now - since;
  const promised = Math.max(0, (upload.total ?? 0) - from);
  return now <= graceUntil || (upload.received - from) * LEASE_WHOLE_MS >= promised * ms;
}
