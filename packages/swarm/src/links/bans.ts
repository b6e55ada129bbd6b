import { MAX_BANS } from "../constants.js";

/** Keys and addresses that are shut out, each until its time (site swarm rule 15). */
export class Bans {
  readonly #until = new Map<string, number>();
  readonly #strikes = new Map<string, number>();

  /** @param what a peer id or an address */
  add(what: string, ms: number, now: number): void {
    const oldest = this.#until.keys().next();
    if (this.#until.size >= MAX_BANS && oldest.done !== true) this.#until.delete(oldest.value);
    this.#until.delete(what);
    this.#until.set(what, now + ms);
  }

  get size(): number {
    return this.#until.size;
  }

  /** Counts offences of a key, over all its links: who reconnects begins no new account. @returns all so far */
  strike(key: string, count: number): number {
    const strikes = (this.#strikes.get(key) ?? 0) + count;
    const oldest = this.#strikes.keys().next();
    if (this.#strikes.size >= MAX_BANS && oldest.done !== true) this.#strikes.delete(oldest.value);
    this.#strikes.delete(key);
    this.#strikes.set(key, strikes);
    return strikes;
  }

  has(what: string, now: number): boolean {
    return (this.#until.get(what) ?? 0) > now;
  }
}
