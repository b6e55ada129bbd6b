import type { RunningClient } from "@ckmesh/client";
import type { Clock } from "@ckmesh/core";
import type { ClientReporter } from "./client-reporter.js";

/** How often progress is looked at while something is fetched, ms; a change of state shows at once. */
export const FETCHING_MS = 500;
/** At all other times: putting a status together is more work than all else that an idle client does. */
export const RESTING_MS = 5000;

/** Reports what a client does, from time to time and when it changes. */
export class ClientWatch {
  readonly #reporter: Pick<ClientReporter, "show">;
  readonly #clock: Clock;
  #client: Pick<RunningClient, "status"> | undefined;
  #cancel: (() => void) | undefined;

  constructor(reporter: Pick<ClientReporter, "show">, clock: Clock) {
    this.#reporter = reporter;
    this.#clock = clock;
  }

  start(client: Pick<RunningClient, "status">): void {
    this.#client = client;
    this.look();
  }

  /** Reports now; nothing before `start`. */
  look(): void {
    if (this.#client === undefined) return;
    this.#cancel?.();
    const status = this.#client.status();
    this.#reporter.show(status);
    const isFetching = status.images.some(({ versions }) => versions.some((v) => v.state === "fetching"));
    this.#cancel = this.#clock.after(isFetching ? FETCHING_MS : RESTING_MS, () => this.look());
  }

  /** Reports no more. */
  stop(): void {
    this.#client = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
