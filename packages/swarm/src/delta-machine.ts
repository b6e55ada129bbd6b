import {
  DELTA_LINGER_MS,
  DELTA_NEED_LOOK_MS,
  DELTA_REFUSED_MS,
  DELTA_SEARCH_RETRY_MS,
  DELTA_SEARCH_TRIES,
} from "./constants.js";

export type DeltaEvent =
  | { readonly type: "start" }
  /** The frame table of the target is known, and which of its frames local packs bring. */
  | { readonly type: "planned" }
  /**
   * A look at the target's swarm; wanted while `looksFor` is "need".
   * @property isSettled enough of its peers were seen
   * @property isShort a frame is missing that neither local packs nor a connected peer have
   */
  | { readonly type: "need"; readonly isSettled: boolean; readonly isShort: boolean }
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
  /** All of the target is here. */
  | { readonly type: "done" }
  /** The delta is bad, or the work on the target ends. */
  | { readonly type: "end" };

export type DeltaEffect =
  /** These rows of the target, and no others, are promised to the site and not claimed. */
  | { readonly type: "hold"; readonly rows: "all-frames" | "yielded" | "none" }
  /** A delta from a version that is here is to be looked for at the origin. */
  | { readonly type: "search" }
  /** The delta is left: its swarm, and what it has of the target's rows. */
  | { readonly type: "leave" };

/**
 * What a client with an older version of the image, the base, expects of a delta to the new one, the target (site
 * swarm rule 8): when it looks for one, what it promises the site, and when it gives it up. States: waiting (for the
 * target's frame table; all frames are promised) → needing (peers may have what is missing: then no delta is looked
 * for) → searching → opened (its index comes) → yielding (its frames come, and are applied) → lingering (all is here, and
 * others have to hear of it); ended, from any of them.
 */
export class DeltaMachine {
  #state: "waiting" | "needing" | "searching" | "opened" | "yielding" | "lingering" | "ended" = "waiting";
  #isHolding = false;
  #lookAt = Number.POSITIVE_INFINITY;
  #searches = 0;
  /** Since when the origin refuses the delta and no row of it has come. */
  #refusedSince: number | undefined;
  #doneAt = 0;

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
    if (this.#state === "lingering") return this.#doneAt + DELTA_LINGER_MS;
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
        return this.#state === "needing" ? this.#need(event.isSettled && event.isShort, now) : [];
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
        if (this.#state !== "yielding") return this.#end();
        this.#state = "lingering";
        this.#doneAt = now;
        return [];
      case "end":
        return this.#end();
    }
  }

  #need(isNeeded: boolean, now: number): DeltaEffect[] {
    this.#lookAt = now + DELTA_NEED_LOOK_MS;
    if (!isNeeded) return [];
    this.#state = "searching";
    this.#searches += 1;
    return [{ type: "search" }];
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
