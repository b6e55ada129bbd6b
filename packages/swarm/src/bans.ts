import { BAN_ADDRESS_MS, BAN_KEY_MS, MAX_BANS } from "./constants.js";

/** Peers that sent bad rows: their key for a day, their address for an hour (site swarm rule 15). */
export class Bans {
  readonly #until = new Map<string, number>();

  add(peerId: string, address: string, now: number): void {
    for (const [key, ms] of [
      [peerId, BAN_KEY_MS],
      [address, BAN_ADDRESS_MS],
    ] as const) {
      this.#until.delete(key);
      const oldest = this.#until.keys().next();
      if (this.#until.size >= MAX_BANS && oldest.done !== true) this.#until.delete(oldest.value);
      this.#until.set(key, now + ms);
    }
  }

  has(peerId: string, address: string, now: number): boolean {
    return (this.#until.get(peerId) ?? 0) > now || (this.#until.get(address) ?? 0) > now;
  }
}
