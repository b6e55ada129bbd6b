import type { Clock } from "@ckmesh/core";
import type { LanAnnouncer } from "@ckmesh/net";
import type { WanPacer } from "@ckmesh/swarm";
import { NOTICE_ID_CHARS, siteMark, type WanNotice } from "@ckmesh/wire";

const INTERVAL_MS = 1000;

export interface WanNoticesOptions {
  readonly clock: Clock;
  readonly pacer: Pick<WanPacer, "limit" | "fetching" | "neighbour">;
  readonly lan: Pick<LanAnnouncer, "sayWan">;
  /** Hexadecimal. */
  readonly peerId: string;
  /** Label of the configuration. */
  readonly site: string | undefined;
}

/**
 * Clients of a LAN that follow different images hear nothing of each other's claims. While it fetches under a
 * budget, each tells the LAN every second, so that the budget holds for all of them together.
 */
export class WanNotices {
  readonly #options: WanNoticesOptions;
  readonly #peerId: string;
  readonly #site: string;
  #cancel: (() => void) | undefined;

  constructor(options: WanNoticesOptions) {
    this.#options = options;
    this.#peerId = options.peerId.slice(0, NOTICE_ID_CHARS);
    this.#site = siteMark(options.site);
    this.#arm();
  }

  /** A notice came from the LAN, where anybody may send some: see `SiteNeighbours`. */
  heard({ peerId, site, rate }: WanNotice, from: string): void {
    const { pacer, clock } = this.#options;
    if (peerId === this.#peerId || site !== this.#site) return;
    pacer.neighbour(peerId, rate, from, clock.now());
  }

  close(): void {
    this.#cancel?.();
  }

  #arm(): void {
    const { clock, pacer, lan } = this.#options;
    this.#cancel = clock.after(INTERVAL_MS, () => {
      const rate = pacer.limit.type === "rate" ? pacer.fetching : undefined;
      if (rate !== undefined) lan.sayWan({ peerId: this.#peerId, site: this.#site, rate });
      this.#arm();
    });
  }
}
