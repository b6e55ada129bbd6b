import type { Clock, Random } from "@ckmesh/core";

/** When the origin's files turn out to be others, its head is looked at after this, up to twice as long. */
const STALE_CHECK_MS = 2000;

/** Something at the origin is not as it was: looks again, once, however many fetches say so. */
export class StaleCheck {
  readonly #time: { readonly clock: Clock; readonly random: Random };
  readonly #check: () => void;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(time: { readonly clock: Clock; readonly random: Random }, check: () => void) {
    this.#time = time;
    this.#check = check;
  }

  soon(): void {
    if (this.#isStopped) return;
    const { clock, random } = this.#time;
    this.#cancel ??= clock.after(STALE_CHECK_MS * (1 + random.next()), () => {
      this.#cancel = undefined;
      this.#check();
    });
  }

  /** Looks no more. Safe to call twice. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }
}
