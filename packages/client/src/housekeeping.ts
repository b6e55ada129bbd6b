import type { Clock, Logger } from "@ckmesh/core";
import type { Client } from "./client.js";
import type { ClientMetrics } from "./client-metrics.js";
import type { PeerDiscovery } from "./peers/peer-discovery.js";
import { progressReports } from "./peers/progress-reports.js";
import type { Reachability } from "./peers/reachability.js";

/** Networks, remembered peers and reports are looked after this often. */
const HOUSEKEEPING_MS = 10_000;

export interface HousekeepingOptions {
  readonly client: Pick<Client, "status">;
  readonly discovery: PeerDiscovery | undefined;
  readonly reachability: Reachability;
  readonly metrics: ClientMetrics;
  readonly peerPort: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a running client does now and then: it tells how far it is, and looks after peers and networks. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #isUnreached = false;
  #cancel: () => void = () => {};

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    this.#again();
  }

  close(): void {
    this.#cancel();
  }

  #again(): void {
    const { clock, discovery, logger } = this.#options;
    this.#cancel = clock.after(HOUSEKEEPING_MS, () => {
      this.#report();
      this.#noticeReachability();
      discovery?.refresh().catch((err: unknown) => {
        logger.warn({ err }, "peers not refreshed");
      });
      this.#again();
    });
  }

  /** Once: a person has to open a port. */
  #noticeReachability(): void {
    const { clock, reachability, logger, peerPort } = this.#options;
    if (this.#isUnreached || reachability.state(clock.now()) !== "none") return;
    this.#isUnreached = true;
    logger.warn({ peerPort }, "no peer has ever connected to this client: a firewall may block its port");
  }

  #report(): void {
    const { client, discovery, metrics } = this.#options;
    const { images } = client.status();
    for (const report of progressReports(images)) discovery?.report(report);
    metrics.peers.set(images.flatMap((image) => image.versions).reduce((n, { peers }) => n + peers, 0));
  }
}
