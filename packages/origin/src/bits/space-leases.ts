/** An upload under way, as far as room is concerned. */
export interface UploadRoom {
  readonly id: string;
  /** Bytes that it holds. */
  readonly received: number;
  /** Of the whole file; undefined before its first fragment. */
  readonly total: number | undefined;
  /** A packet of it runs. */
  readonly isBusy: boolean;
}

/** BITS comes again ten minutes after an error, if the job does not say otherwise; a lease outlives that. */
export const LEASE_MS = 15 * 60_000;

/**
 * Room that was promised to uploads. Whoever is let begin has room for the whole file as long as it sends, so that two
 * uploads which fit one after the other never stop each other half way: the one that does not fit beside the other is
 * refused before its first byte. The promise of an upload that is silent lapses, and what it brought stays: a forgotten
 * session must not block the folder until it expires. Some upload can always go on then, the last one that was let
 * begin: there was room for all of it beside what the others held, and they hold no more now.
 */
export class SpaceLeases {
  /** By id of the upload: monotonic ms at which the promise lapses. */
  readonly #until = new Map<string, number>();

  /** There is room for the whole upload, or a packet of one for which there is has just ended. */
  grant(id: string, now: number): void {
    this.#until.set(id, now + LEASE_MS);
  }

  /** After a packet: does not give what was never granted. */
  renew(id: string, now: number): void {
    if (this.#until.has(id)) this.grant(id, now);
  }

  /** The upload has ended, or there is no room after all. */
  end(id: string): void {
    this.#until.delete(id);
  }

  /** Bytes still to come for which others than `id` have the promise. */
  promisedBytes(uploads: Iterable<UploadRoom>, id: string | undefined, now: number): number {
    let promised = 0;
    for (const upload of uploads) {
      const until = this.#until.get(upload.id);
      if (upload.id === id || until === undefined || (until <= now && !upload.isBusy)) continue;
      promised += Math.max(0, (upload.total ?? 0) - upload.received);
    }
    return promised;
  }
}
