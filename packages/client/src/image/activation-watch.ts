import type { Clock, Logger } from "@ckmesh/core";
import { isAccessLost } from "../access-lost.js";
import { asAppError } from "../as-app-error.js";
import type { ImageControl } from "../rollout/image-control.js";
import type { VersionDriver } from "../version/version-driver.js";
import type { VersionChoice } from "./version-choice.js";

/** A disk may take hours to rebuild: so often its publisher is asked meanwhile, as often as a client looks anyway. */
const ACTIVATION_LOOK_MS = 15 * 60_000;

export interface ActivationWatchOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly control: Pick<ImageControl, "refresh">;
  readonly choice: Pick<VersionChoice, "mayGoOn">;
}

/**
 * The version on its way from verified to active, which may take hours: stopped there when it may not be active any
 * more, or when something else is to be done with the image first.
 */
export class ActivationWatch {
  readonly #options: ActivationWatchOptions;
  #driver: VersionDriver | undefined;
  #abort = new AbortController();
  #asking: Promise<void> = Promise.resolve();
  #cancelAsk: () => void = () => {};

  constructor(options: ActivationWatchOptions) {
    this.#options = options;
  }

  /** `staged` on the way is no end. */
  get driver(): VersionDriver | undefined {
    return this.#driver;
  }

  /** It was told to stop, and has not ended yet. */
  get isStopped(): boolean {
    return this.#driver !== undefined && this.#abort.signal.aborted;
  }

  /** In the place of the one before. @returns aborted by `stop`, and by `look` where it finds that the version may not be active */
  begin(driver: VersionDriver): AbortSignal {
    this.#driver = driver;
    this.#abort = new AbortController();
    this.#askLater(this.#abort.signal);
    return this.#abort.signal;
  }

  /** What the publisher says may have changed. */
  look(): void {
    if (this.#driver === undefined || this.#options.choice.mayGoOn(this.#driver)) return;
    this.stop("its publisher holds it back");
  }

  /** Does nothing where no version is on its way. */
  stop(reason: string): void {
    if (this.#driver === undefined || this.#abort.signal.aborted) return;
    this.#options.logger.info({ version: this.#driver.version, reason }, "activation stopped");
    this.#abort.abort();
  }

  /** It is active, or stopped. @param signal of `begin`: nothing happens when another one has begun meanwhile */
  end(signal: AbortSignal): void {
    if (this.#abort.signal !== signal) return;
    this.#driver = undefined;
    this.#cancelAsk();
    this.#abort.abort();
  }

  /** After `end`. */
  async close(): Promise<void> {
    await this.#asking;
  }

  #askLater(signal: AbortSignal): void {
    this.#cancelAsk = this.#options.clock.after(ACTIVATION_LOOK_MS, () => {
      this.#asking = this.#ask(signal);
    });
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.control.refresh(signal);
    } catch (err) {
      const failure = asAppError(err);
      if (signal.aborted) return;
      this.#options.logger.warn({ err: failure }, "publisher not asked");
      if (isAccessLost(failure.code)) this.stop("the origin refuses the image");
    }
    if (signal.aborted) return;
    this.look();
    this.#askLater(signal);
  }
}
