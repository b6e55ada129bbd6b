import type { Logger } from "@ckmesh/core";
import { NO_SOURCE_BYTES, type SourceBytes, type WastedBytes } from "@ckmesh/store";
import type { ClientMetrics } from "../client-metrics.js";

const SOURCES = ["previous", "delta", "host", "peers", "origin"] as const;
const WASTE_KINDS = ["rejected", "duplicate", "retried"] as const;

/** Adds to the metrics what came for a version since the last look. */
export class ByteCounts {
  readonly #metrics: ClientMetrics;
  readonly #logger: Logger;
  #held: SourceBytes = NO_SOURCE_BYTES;
  #wasted: WastedBytes;
  /** Rows came in this run. */
  #hasRows = false;

  /** @param wasted in earlier runs */
  constructor(metrics: ClientMetrics, logger: Logger, wasted: WastedBytes) {
    this.#metrics = metrics;
    this.#logger = logger;
    this.#wasted = wasted;
  }

  /** @param isOld found on the disk at the start: it came in an earlier run */
  look(held: SourceBytes, wasted: WastedBytes, isOld: boolean): void {
    for (const source of SOURCES) {
      const more = held[source] - this.#held[source];
      if (more <= 0 || isOld) continue;
      this.#metrics.rowBytes.add(more, { source });
      if (!this.#hasRows) this.#logger.info({ source }, "first rows held");
      this.#hasRows = true;
    }
    this.#held = held;
    for (const kind of WASTE_KINDS) {
      this.#metrics.wastedBytes.add(wasted[kind] - this.#wasted[kind], { kind });
    }
    this.#wasted = wasted;
  }
}
