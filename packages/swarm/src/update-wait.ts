import { UPDATE_LOOK_MS, UPDATE_WAIT_MS } from "./constants.js";

export type UpdateWaitEvent =
  /**
   * A look at the swarms; wanted at `deadline`.
   * @property holders peers that offer all of the previous version; undefined: its swarm was left
   * @property isSettled enough of its peers were seen
   * @property expected frames that the previous version has not got: those that are missing, and how many of them others
   *   offer or promise; undefined: it is not known yet which these are
   */
  | {
      readonly type: "look";
      readonly holders: number | undefined;
      readonly isSettled: boolean;
      readonly expected: { readonly missing: number; readonly coming: number } | undefined;
    }
  /** A peer without any version says that there is a delta, and somebody with the previous version. */
  | { readonly type: "heard" }
  /** The answer to `ask`. */
  | { readonly type: "answered"; readonly hasDelta: boolean }
  /** The work on the target ends. */
  | { readonly type: "end" };

export type UpdateWaitEffect =
  /** The origin is to be asked whether it has a delta from the previous version. */
  | { readonly type: "ask" }
  /** The swarm of the previous version is to be told that there is a newer one. */
  | { readonly type: "tell" }
  /** Frames may come over the WAN. `isPromised`: somebody has promised them, and the usual patience with that begins. */
  | { readonly type: "release"; readonly isPromised: boolean };

/**
 * What a client without any version expects of peers with the previous one that have not noticed the new one, the
 * target (site swarm rule 8): that one of them updates by a delta, and promises its frames. States: alone (nobody is
 * known to hold the previous version) → asking (whether there is a delta) → told (they were told to look) → over, from
 * any of them. Frames are held back from the WAN until enough of the site was seen, while it asks, and after it has
 * told: once, and for a limited time.
 */
export class UpdateWait {
  #state: "alone" | "asking" | "told" | "over" = "alone";
  #isHolding = true;
  /** Not all machines of a large site are linked with each other: nobody may be seen to hold the previous version. */
  #isHearsay = false;
  #lookAt = Number.NEGATIVE_INFINITY;
  #until = Number.POSITIVE_INFINITY;

  /** Frames are held back from the WAN. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Monotonic ms of the next look; undefined: none. */
  deadline(): number | undefined {
    return this.#state === "over" ? undefined : Math.min(this.#lookAt, this.#until);
  }

  /** Advances by one event; `now` is monotonic and never goes back. */
  step(event: UpdateWaitEvent, now: number): readonly UpdateWaitEffect[] {
    switch (event.type) {
      case "look":
        this.#lookAt = now + UPDATE_LOOK_MS;
        return this.#look(event, now);
      case "heard":
        if (this.#state !== "alone") return [];
        this.#isHearsay = true;
        return this.#ask(now);
      case "answered":
        if (this.#state !== "asking") return [];
        if (!event.hasDelta) return this.#end(false);
        this.#state = "told";
        this.#until = now + UPDATE_WAIT_MS;
        return [{ type: "tell" }];
      case "end":
        return this.#end(false);
    }
  }

  #look(event: Extract<UpdateWaitEvent, { type: "look" }>, now: number): UpdateWaitEffect[] {
    const { holders, isSettled, expected } = event;
    if (this.#state === "over") return [];
    if (this.#state === "alone") {
      if (holders === undefined) return this.#end(false);
      if (holders > 0) return this.#ask(now);
      return isSettled ? this.#release(false) : [];
    }
    // A delta never yields all: what the promise leaves out is nobody's, as always.
    if (expected !== undefined && 2 * expected.coming >= expected.missing) return this.#end(true);
    const isGone = holders === 0 && !this.#isHearsay;
    return isGone || now >= this.#until ? this.#end(false) : [];
  }

  #ask(now: number): UpdateWaitEffect[] {
    this.#state = "asking";
    this.#isHolding = true;
    // An origin that does not answer sends no frames either.
    this.#until = now + UPDATE_WAIT_MS;
    return [{ type: "ask" }];
  }

  #end(isPromised: boolean): UpdateWaitEffect[] {
    this.#state = "over";
    return this.#release(isPromised);
  }

  #release(isPromised: boolean): UpdateWaitEffect[] {
    if (!this.#isHolding) return [];
    this.#isHolding = false;
    return [{ type: "release", isPromised }];
  }
}
