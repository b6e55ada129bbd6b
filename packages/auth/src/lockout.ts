import { BoundedMap } from "./bounded-map.js";

export interface LockoutOptions {
  /** Wrong passwords for one account from one address until it is locked; default 10. */
  readonly threshold?: number;
  /** Wrong passwords from one address, whatever the account, against spraying; default 100. */
  readonly addressThreshold?: number;
  /** How long a lock holds after the last wrong password; default 60,000 ms. */
  readonly lockMs?: number;
}

/** Most (account, address) pairs and addresses that are counted; the oldest are forgotten first. */
const MAX_COUNTERS = 10_000;

interface Counter {
  readonly failures: number;
  readonly lastAt: number;
}

/** Counts wrong passwords per account and address (windows-auth section 9), in bounded memory. */
export class Lockout {
  readonly #threshold: number;
  readonly #addressThreshold: number;
  readonly #lockMs: number;
  readonly #pairs = new BoundedMap<Counter>(MAX_COUNTERS);
  readonly #addresses = new BoundedMap<Counter>(MAX_COUNTERS);

  constructor(options: LockoutOptions = {}) {
    this.#threshold = options.threshold ?? 10;
    this.#addressThreshold = options.addressThreshold ?? 100;
    this.#lockMs = options.lockMs ?? 60_000;
  }

  isLocked(user: string, address: string, now: number): boolean {
    return (
      this.#failures(this.#pairs, pairKey(user, address), now) >= this.#threshold ||
      this.#failures(this.#addresses, address, now) >= this.#addressThreshold
    );
  }

  failed(user: string, address: string, now: number): void {
    const pair = pairKey(user, address);
    this.#pairs.set(pair, { failures: this.#failures(this.#pairs, pair, now) + 1, lastAt: now });
    this.#addresses.set(address, {
      failures: this.#failures(this.#addresses, address, now) + 1,
      lastAt: now,
    });
  }

  succeeded(user: string, address: string): void {
    this.#pairs.delete(pairKey(user, address));
  }

  /** Counters in memory. */
  get size(): number {
    return this.#pairs.size + this.#addresses.size;
  }

  #failures(counters: BoundedMap<Counter>, key: string, now: number): number {
    const counter = counters.get(key);
    return counter === undefined || now - counter.lastAt >= this.#lockMs ? 0 : counter.failures;
  }
}

/**
 * Directories find one account by many spellings: they leave accents, widths and outer or repeated spaces aside. A
 * guess costs the account the same however it is spelt.
 */
function pairKey(user: string, address: string): string {
  const plain = user.normalize("NFKD").replaceAll(/\p{M}/gu, "").replaceAll(/\s+/g, " ").trim();
  return `${address}\n${plain.toLowerCase()}`;
}
