import type { Claim } from "@ckmesh/wire";
import { BAR_MS, MAX_CLAIMS, MAX_PAUSE_MS } from "../constants.js";

/**
 * How long paused claims are believed (site swarm rule 14). The origin tells a client to wait, the client tells the
 * site; but anybody can say so, so a claimer has a bounded time of pauses, and a new one only after bytes moved.
 */
export class ClaimPauses {
  /** When a claimer's pauses began, since its bytes last moved. */
  readonly #since = new Map<string, number>();

  /** Until when a claim that says it is paused need not move; 0 for any other. */
  heard(claim: Pick<Claim, "claimer" | "state" | "pauseMs">, now: number): number {
    if (claim.state !== "paused") return 0;
    const known = this.#since.get(claim.claimer);
    const since = known === undefined || now - known >= BAR_MS ? now : known;
    if (this.#since.size >= MAX_CLAIMS) this.#since.clear();
    this.#since.set(claim.claimer, since);
    return Math.min(now + (claim.pauseMs ?? 0), since + MAX_PAUSE_MS);
  }

  /** Bytes of the claimer moved: the next pause is a new one. */
  moved(claimer: string): void {
    this.#since.delete(claimer);
  }
}
