import type { Random } from "@ckmesh/core";
import { FETCH_BACKOFF_MS, MAX_FETCH_BACKOFF_MS, MAX_PAUSE_MS, PAUSE_JITTER_MS } from "../constants.js";
import { Backoff } from "../links/backoff.js";

/** Until when this client asks the origin for nothing: fetches failed, or it was told to wait (site swarm rule 14). */
export class OriginWait {
  readonly #backoff: Backoff;
  readonly #random: Random;
  #until = 0;
  /** When this client was first told to wait, since its bytes last moved. */
  #toldSince: number | undefined;

  constructor(random: Random) {
    this.#backoff = new Backoff(FETCH_BACKOFF_MS, MAX_FETCH_BACKOFF_MS, random);
    this.#random = random;
  }

  get until(): number {
    return this.#until;
  }

  /** Bytes came. */
  moved(): void {
    this.#backoff.succeed();
    this.#toldSince = undefined;
  }

  failed(now: number): void {
    this.#until = now + this.#backoff.fail();
  }

  /** The origin said for how long. Returns until when the others believe that its claim is only paused. */
  told(retryMs: number, now: number): number {
    const waitMs = retryMs >= FETCH_BACKOFF_MS ? retryMs : Math.max(retryMs, this.#backoff.fail());
    this.#until = Math.max(this.#until, now + waitMs + this.#random.next() * PAUSE_JITTER_MS);
    this.#toldSince ??= now;
    return this.#toldSince + MAX_PAUSE_MS;
  }
}
