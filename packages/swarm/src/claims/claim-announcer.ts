import { type Claim, MAX_CLAIM_PAUSE_MS } from "@ckmesh/wire";
import { CLAIM_PROGRESS_MS, CLAIM_REPEAT_MS } from "../constants.js";
import type { WanRate } from "../wan/wan-rate.js";
import type { OwnClaim } from "./own-claim.js";

/** What is signed: a claim without key and signature. */
export type UnsignedClaim = Omit<Claim, "key" | "signature">;

/** What this client tells others of its claims, each message under a higher epoch than the one before. */
export class ClaimAnnouncer {
  readonly #peerId: string;
  readonly #rate: WanRate;
  readonly #announce: (claim: UnsignedClaim) => void;
  #epoch: number;
  /** What the last message said of the rate, bytes per second. */
  saidRate = 0;
  /** When something was last said to all. */
  saidAt = Number.NEGATIVE_INFINITY;

  /** @param epoch start of this run's epochs: higher than any of an earlier run (for example Unix seconds) */
  constructor(peerId: string, rate: WanRate, announce: (claim: UnsignedClaim) => void, epoch: number) {
    this.#peerId = peerId;
    this.#rate = rate;
    this.#announce = announce;
    this.#epoch = epoch;
  }

  /** When a claim is to be told again. */
  dueAt(own: OwnClaim): number {
    return own.sentAt + intervalOf(own);
  }

  isDue(own: OwnClaim, now: number): boolean {
    return now - own.sentAt >= intervalOf(own);
  }

  send(own: OwnClaim, state: Claim["state"], now: number): void {
    own.sentAt = now;
    this.saidAt = now;
    own.sentBytes = own.bytesDone;
    this.#announce(this.message(own, state, now));
  }

  /** The message alone, for one peer. */
  message(own: OwnClaim, state: Claim["state"], now: number): UnsignedClaim {
    const { span, rows, bytesDone } = own;
    const pauseMs = Math.min(MAX_CLAIM_PAUSE_MS, Math.max(1, Math.ceil(own.startAt - now)));
    this.#epoch += 1;
    this.saidRate = this.#rate.value(now);
    return {
      span,
      rows,
      claimer: this.#peerId,
      epoch: this.#epoch,
      bytesDone,
      rate: this.saidRate,
      state,
      ...(state === "paused" && { pauseMs }),
    };
  }
}

/** Soon after bytes came, and now and then when none do. */
function intervalOf(own: OwnClaim): number {
  return own.bytesDone > own.sentBytes ? CLAIM_PROGRESS_MS : CLAIM_REPEAT_MS;
}
