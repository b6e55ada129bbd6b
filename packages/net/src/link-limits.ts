/** Deadlines and bounds of a peer link (specs: peer wire 1.4); all times in ms. */
export interface LinkLimits {
  /** From the accepted or begun connection to the proven, measured link. */
  readonly handshakeMs: number;
  /** Longest silence of a peer. */
  readonly idleMs: number;
  /** Longest wait for the answer to a request. */
  readonly requestMs: number;
  /** A message that began must end within this. */
  readonly messageMs: number;
  /** Longest time in which the peer takes nothing of what waits for it. */
  readonly drainMs: number;
  /** A keep-alive is sent after this much silence of ours. */
  readonly keepAliveMs: number;
}

export const LINK_LIMITS: LinkLimits = {
  handshakeMs: 10_000,
  idleMs: 120_000,
  requestMs: 60_000,
  messageMs: 60_000,
  drainMs: 30_000,
  keepAliveMs: 55_000,
};

/**
 * Pieces are fed to the socket while less than this waits there, so that control messages never wait long: what
 * the link carries in FEED_MS, within these bounds.
 */
export const FEED_BYTES = 256 * 1024;
export const MIN_FEED_BYTES = 32 * 1024;
export const FEED_MS = 100;
/** Shortest time over which the rate of a link is measured. */
export const FEED_SAMPLE_MS = 50;
/** More than this unsent, pieces aside, and the peer is cut off. */
export const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/** Messages kept for a link that is up but not started. */
export const MAX_BACKLOG = 1024;
