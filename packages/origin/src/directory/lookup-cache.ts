import type { Clock } from "@ckmesh/core";

export interface LookupCacheOptions {
  /** How long an answer counts. */
  readonly foundMs: number;
  /** How long "there is none" counts: shorter, as somebody may just be making the account. */
  readonly missingMs: number;
  /** The oldest answers go first. */
  readonly maxEntries: number;
  readonly clock: Pick<Clock, "now">;
}

interface Entry<V> {
  readonly value: V | undefined;
  readonly until: number;
}

/** Answers of a slow source. The same question asked twice at once is put once; failures are not remembered. */
export class LookupCache<V> {
  readonly #options: LookupCacheOptions;
  readonly #entries = new Map<string, Entry<V>>();
  readonly #underway = new Map<string, Promise<V | undefined>>();

  constructor(options: LookupCacheOptions) {
    this.#options = options;
  }

  /** Rejects as `load` does. */
  async get(key: string, load: () => Promise<V | undefined>): Promise<V | undefined> {
    const entry = this.#entries.get(key);
    if (entry !== undefined && this.#options.clock.now() < entry.until) return entry.value;
    const underway = this.#underway.get(key);
    if (underway !== undefined) return underway;
    const lookup = load()
      .then((value) => {
        this.#remember(key, value);
        return value;
      })
      .finally(() => this.#underway.delete(key));
    this.#underway.set(key, lookup);
    return lookup;
  }

  get size(): number {
    return this.#entries.size;
  }

  #remember(key: string, value: V | undefined): void {
    const { foundMs, missingMs, maxEntries, clock } = this.#options;
    this.#entries.delete(key);
    if (this.#entries.size >= maxEntries) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, { value, until: clock.now() + (value === undefined ? missingMs : foundMs) });
  }
}
