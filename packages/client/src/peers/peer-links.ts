import { describeError, type Logger, MIB, type Run } from "@ckmesh/core";
import type { PeerLink } from "@ckmesh/net";
import type { LinkId, SwarmEvent } from "@ckmesh/swarm";
import type { PeerAddress, PeerMessage } from "@ckmesh/wire";
import type { SwarmFiles } from "../rows/swarm-files.js";

/** An upload counts as gone once no more than this waits in its link. */
const UPLOAD_QUEUE_BYTES = MIB / 2;
/** Rows that one peer may have us hash again, per minute. */
const MAX_RECHECK_ROWS = 256;
const RECHECK_WINDOW_MS = 60_000;

export interface PeerLinksOptions {
  readonly files: SwarmFiles;
  readonly logger: Logger;
  readonly step: (event: SwarmEvent) => void;
  readonly onMessage: (link: LinkId, message: PeerMessage) => void;
  /** A link came or went. */
  readonly onProgress: () => void;
  readonly onPeerLinked: (peer: PeerAddress) => void;
}

interface LinkState {
  readonly link: PeerLink;
  /** Uploads that wait for the link to drain. */
  readonly sent: { readonly row: number; readonly length: number }[];
  recheck: { since: number; rows: number };
}

/** The links to the peers of one swarm, under the ids by which its machine knows them, and what goes out on them. */
export class PeerLinks {
  readonly #options: PeerLinksOptions;
  readonly #links = new Map<LinkId, LinkState>();
  #lastLink = 0;
  #isClosed = false;

  constructor(options: PeerLinksOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#links.size;
  }

  /** Takes over a link that is up, and tells the machine what becomes of it. */
  add(link: PeerLink): void {
    if (this.#isClosed) {
      link.close("closing");
      return;
    }
    const { logger, step, onMessage, onProgress, onPeerLinked } = this.#options;
    this.#lastLink += 1;
    const id = this.#lastLink;
    const state: LinkState = { link, sent: [], recheck: { since: 0, rows: 0 } };
    this.#links.set(id, state);
    link.start({
      message: (message) => {
        onMessage(id, message);
      },
      drained: () => {
        this.#drained(id, state);
      },
      closed: (err) => {
        if (err !== undefined) logger.debug({ reason: describeError(err) }, "peer link ended");
        this.#links.delete(id);
        step({ type: "peer-down", link: id });
        onProgress();
      },
    });
    const { peerId, address, port, inbound, peerClass, rttMs } = link;
    step({ type: "peer-up", link: id, peerId, address, port, inbound, peerClass, rttMs });
    if (port !== 0 && this.#links.has(id)) onPeerLinked({ address, port });
    onProgress();
  }

  send(id: LinkId, message: PeerMessage): void {
    this.#links.get(id)?.link.send(message);
  }

  end(id: LinkId, reason: string): void {
    this.#links.get(id)?.link.close(reason);
  }

  /** Sends held rows; the machine hears of it once they have left, or cannot. */
  async upload(id: LinkId, row: number, length: number): Promise<void> {
    const { files, logger, step } = this.#options;
    const state = this.#links.get(id);
    const count = files.table.rowsIn(row, length);
    let ok = false;
    if (state !== undefined && count !== undefined && files.have.hasAll(row, count)) {
      try {
        const bytes = await files.read({ first: row, count });
        if (this.#links.has(id)) {
          state.link.send({ type: "piece", row, bytes });
          ok = true;
        }
      } catch (err) {
        logger.warn({ err }, "rows for a peer could not be read");
      }
    }
    if (ok && state !== undefined && state.link.queuedBytes > UPLOAD_QUEUE_BYTES)
      state.sent.push({ row, length });
    else step({ type: "uploaded", link: id, row, length, ok });
  }

  /** Stops reading from all peers, or goes on. */
  setPaused(isPaused: boolean): void {
    for (const { link } of this.#links.values()) {
      if (isPaused) link.pause();
      else link.resume();
    }
  }

  /** Counts rows that a peer wants hashed again; false: it wants too many. @param now monotonic ms */
  mayRecheck(id: LinkId, runs: readonly Run[], now: number): boolean {
    const state = this.#links.get(id);
    if (state === undefined) return false;
    if (now - state.recheck.since > RECHECK_WINDOW_MS) state.recheck = { since: now, rows: 0 };
    state.recheck.rows += runs.reduce((sum, run) => sum + run.count, 0);
    return state.recheck.rows <= MAX_RECHECK_ROWS;
  }

  /** Ends all links; one that comes later ends at once. Safe to call twice. */
  close(): void {
    this.#isClosed = true;
    for (const { link } of this.#links.values()) link.close("closing");
  }

  #drained(id: LinkId, state: LinkState): void {
    for (const { row, length } of state.sent.splice(0))
      this.#options.step({ type: "uploaded", link: id, row, length, ok: true });
  }
}
