import { type Clock, describeError, type Logger, type Random } from "@ckmesh/core";
import { type OriginCall, OriginCalls, type OriginLinkOptions } from "@ckmesh/net";

export interface OutcomeNews {
  readonly image: string;
  readonly version: number;
  readonly outcome: "verified" | "active" | "failed";
  /** Why it failed: an error code, or `ROLLED_BACK`. */
  readonly code?: string;
}

export interface OutcomeReporterOptions {
  readonly link: OriginLinkOptions;
  /** Peer id, hexadecimal. */
  readonly client: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const PATH = "/ckmesh/api/outcome";
/** Machines of a rollout become active at one moment: they report within this time, by chance. */
const SPREAD_MS = 60_000;
const MAX_PENDING = 1000;

/**
 * Tells an origin of ours how versions that are being rolled out went on this machine. A server that does not know the
 * path is told nothing more; one that does not answer is told again with the next check.
 */
export class OutcomeReporter {
  readonly #options: OutcomeReporterOptions;
  /** By image and version: only the last word counts. */
  readonly #pending = new Map<string, OutcomeNews>();
  readonly #abort = new AbortController();
  #calls: OriginCalls | undefined;
  #isUnknown = false;
  #cancel: (() => void) | undefined;
  #sending: Promise<void> = Promise.resolve();

  constructor(options: OutcomeReporterOptions) {
    this.#options = options;
  }

  report(news: OutcomeNews): void {
    if (this.#isUnknown || this.#abort.signal.aborted) return;
    const key = `${news.image}\n${news.version}`;
    if (this.#pending.size >= MAX_PENDING && !this.#pending.has(key)) return;
    this.#pending.set(key, news);
    const { clock, random } = this.#options;
    this.#cancel ??= clock.after(random.next() * SPREAD_MS, () => void this.flush());
  }

  /** Sends what waits. Never throws; one at a time. */
  flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#sending = this.#sending.then(() => this.#send());
    return this.#sending;
  }

  /** What was not sent is lost: it is news of this run only. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#cancel?.();
    await this.#sending;
    await this.#calls?.close();
  }

  async #send(): Promise<void> {
    for (const [key, news] of this.#pending) {
      if (this.#isUnknown || this.#abort.signal.aborted) return;
      try {
        this.#calls ??= new OriginCalls(this.#options.link);
        const { status } = await this.#calls.send(this.#call(news));
        // Too busy or failing: later. Anything else than taken is no origin of ours, or none that wants to know.
        if (status === 429 || status >= 500) return;
        if (status !== 204) {
          this.#isUnknown = true;
          this.#pending.clear();
          return;
        }
        if (this.#pending.get(key) === news) this.#pending.delete(key);
      } catch (err) {
        this.#options.logger.debug({ reason: describeError(err) }, "outcome not reported yet");
        return;
      }
    }
  }

  #call(news: OutcomeNews): OriginCall {
    const body = Buffer.from(JSON.stringify({ client: this.#options.client, ...news }));
    return {
      method: "POST",
      path: PATH,
      headers: { "content-type": "application/json", "x-ckmesh": "1" },
      body: {
        length: body.length,
        async *read() {
          yield body;
        },
      },
      signal: this.#abort.signal,
    };
  }
}
