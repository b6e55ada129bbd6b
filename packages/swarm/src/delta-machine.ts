import {
  DELTA_LINGER_MS,
  DELTA_NEED_LOOK_MS,
  DELTA_PLAIN_GAP_MS,
  DELTA_PLAIN_WAIT_MS,
  DELTA_REFUSED_MS,
  DELTA_SEARCH_RETRY_MS,
  DELTA_SEARCH_TRIES,
  DELTA_UNPACKED_LINGER_MS,
} from "./constants.js";

export type DeltaEvent =
  | { readonly type: "start" }
  /** The frame table of the target is known, and which of its frames local packs bring. */
  | { readonly type: "planned" }
  /**
   * A look at the target's swarm; wanted while `looksFor` is "need".
   * @property isSettled enough of its peers were seen
   * @property isShort a frame is missing that neither local packs nor a connected peer have; for who cannot pack: nor
   *   has anybody promised it
   * @property hasPeers somebody is connected
   * @property isFetched another machine fetches frames over the WAN
   */
  | {
      readonly type: "need";
      readonly isSettled: boolean;
      readonly isShort: boolean;
      readonly hasPeers: boolean;
      readonly isFetched: boolean;
    }
  /** The answer to `search`. `failed`: nobody could say. */
  | { readonly type: "searched"; readonly result: "found" | "none" | "failed" }
  /** The index of the delta is known and fits: so are the rows of the target that it yields. */
  | { readonly type: "fits" }
  /** Rows of the delta came, from wherever. */
  | { readonly type: "came" }
  /** The origin does not have the delta any more, or another one in its place. */
  | { readonly type: "refused" }
  /** Time has passed. */
  | { readonly type: "tick" }
  /** All of the target is here; `isPacked` false: some of it decoded only. May come once more when that is over. */
  | { readonly type: "done"; readonly isPacked: boolean }
  /** The delta is bad, or the work on the target ends. */
  | { readonly type: "end" };

export type DeltaEffect =
  /** These rows of the target, and no others, are promised to the site and not claimed. */
  | { readonly type: "hold"; readonly rows: "all-frames" | "yielded" | "none" }
  /** What is waited for takes its time: no reason for the target's swarm to lose its patience (rule 12). */
  | { readonly type: "be-patient" }
  /** A delta from a version that is here is to be looked for at the origin. */
  | { readonly type: "search" }
  /** The delta is left: its swarm, and what it has of the target's rows. */
  | { readonly type: "leave" };

/**
 * What a client with an older version of the image, the base, expects of a delta to the new one, the target (site
 * swarm rule 8): when it looks for one, what it promises the site, and when it gives it up. States: waiting (for the
 * target's frame table; all frames are promised) → needing (peers may have what is missing: then no delta is looked
 * for) → searching → opened (its index comes) → yielding (its frames come, and are applied) → lingering (all is here, and
 * others have to hear of it); ended, from any of them. Who cannot pack what the delta yields, as its codec makes other
 * frames, promises nothing; while machines without the base fetch plain frames it does with those.
 */
export class DeltaMachine {
  #state: "waiting" | "needing" | "searching" | "opened" | "yielding" | "lingering" | "ended" = "waiting";
  #isHolding = false;
  #lookAt = Number.POSITIVE_INFINITY;
  #searches = 0;
  /** Since when the origin refuses the delta and no row of it has come. */
  #refusedSince: number | undefined;
  #leaveAt = 0;
  readonly #canPack: boolean;
  #plainUntil: number | undefined;

  /** @param canPack frames that the delta yields can be packed here as the publisher did */
  constructor(canPack: boolean) {
    this.#canPack = canPack;
  }

  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** At `deadline` it is to be looked whether a delta is needed: event `need`. Else it is time for a `tick`. */
  get looksForNeed(): boolean {
    return this.#state === "needing";
  }

  /** Monotonic ms of the next look, or tick; undefined: none. */
  deadline(): number | undefined {
    if (this.#state === "ended") return undefined;
    if (this.looksForNeed) return this.#lookAt;
    if (this.#state === "lingering") return this.#leaveAt;
    return this.#refusedSince === undefined ? undefined : this.#refusedSince + DELTA_REFUSED_MS;
  }

  /** Advances by one event; `now` is monotonic and never goes back. */
  step(event: DeltaEvent, now: number): readonly DeltaEffect[] {
    if (this.#state === "ended") return [];
    switch (event.type) {
      case "start":
        this.#isHolding = true;
        return [{ type: "hold", rows: "all-frames" }];
      case "planned":
        if (this.#state === "waiting") this.#lookForNeed(now);
        return [];
      case "need":
        return this.#state === "needing" ? this.#need(event, now) : [];
      case "searched":
        return this.#state === "searching" ? this.#searched(event.result, now) : [];
      case "fits":
        if (this.#state !== "opened") return [];
        this.#state = "yielding";
        return [{ type: "hold", rows: "yielded" }];
      case "came":
        this.#refusedSince = undefined;
        return [];
      case "refused":
        this.#refusedSince ??= now;
        return [];
      case "tick":
        return now >= (this.deadline() ?? Number.POSITIVE_INFINITY) ? this.#end() : [];
      case "done":
        if (this.#state !== "yielding" && this.#state !== "lingering") return this.#end();
        this.#state = "lingering";
        this.#leaveAt = now + (event.isPacked ? DELTA_LINGER_MS : DELTA_UNPACKED_LINGER_MS);
        return [];
      case "end":
        return this.#end();
    }
  }

  #need(event: Extract<DeltaEvent, { type: "need" }>, now: number): DeltaEffect[] {
    this.#lookAt = now + DELTA_NEED_LOOK_MS;
    if (!event.isSettled || !event.isShort) return [];
    const isWaiting = !this.#canPack && event.hasPeers && this.#waitsForPlain(event.isFetched, now);
    // Rows that others fetch renew the patience themselves.
    if (isWaiting) return event.isFetched ? [] : [{ type: "be-patient" }];
    this.#state = "searching";
    this.#searches += 1;
    return this.#canPack ? [{ type: "search" }] : [{ type: "be-patient" }, { type: "search" }];
  }

  #waitsForPlain(isFetched: boolean, now: number): boolean {
    this.#plainUntil ??= now + DELTA_PLAIN_WAIT_MS;
    if (isFetched) this.#plainUntil = Math.max(this.#plainUntil, now + DELTA_PLAIN_GAP_MS);
    return now < this.#plainUntil;
  }

  #searched(result: "found" | "none" | "failed", now: number): DeltaEffect[] {
    if (result === "none" || (result === "failed" && this.#searches >= DELTA_SEARCH_TRIES))
      return this.#end();
    if (result === "failed") this.#lookForNeed(now + DELTA_SEARCH_RETRY_MS);
    else this.#state = "opened";
    return [];
  }

  #lookForNeed(at: number): void {
    this.#state = "needing";
    this.#lookAt = at;
  }

  #end(): DeltaEffect[] {
    this.#state = "ended";
    return this.#isHolding ? [{ type: "leave" }, { type: "hold", rows: "none" }] : [{ type: "leave" }];
  }
}
