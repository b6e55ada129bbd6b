import { randomBytes } from "node:crypto";
import { type Clock, describeError, type Logger, type Random, toHex } from "@ckmesh/core";
import { OriginHttp, type OriginLinkOptions, TrackerLink } from "@ckmesh/net";

/** The tracker has to welcome within this time, ms: connecting, TLS, a ticket and hello. */
const WELCOME_MS = 12_000;
const PEER_ID_BYTES = 32;

export interface GreetTrackerOptions {
  /** Of the tracker. */
  readonly url: string;
  /** The origin that issues the ticket. */
  readonly link: OriginLinkOptions;
  readonly joinKey?: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Says hello to a tracker as a client does, and goes away.
 * @returns why it does not welcome this machine; undefined when it does
 * @throws {AppError} ERR_CONFIG_INVALID when the URL is no tracker's
 */
export async function greetTracker(options: GreetTrackerOptions): Promise<string | undefined> {
  const { url, joinKey, clock, random, logger, signal } = options;
  const peerId = randomBytes(PEER_ID_BYTES);
  const origin = new OriginHttp({ ...options.link, logger });
  let ticketProblem = "";
  const ticket = async (): Promise<Uint8Array | undefined> => {
    try {
      return await origin.fetchTicket(toHex(peerId), signal);
    } catch (err) {
      ticketProblem = ` (no ticket from the origin: ${describeError(err)})`;
      return undefined;
    }
  };
  let link: TrackerLink | undefined;
  let cancel: (() => void) | undefined;
  try {
    const problem = await new Promise<string | undefined>((resolve) => {
      cancel = clock.after(WELCOME_MS, () => resolve("no answer in time"));
      link = new TrackerLink({
        url,
        peerId,
        peerClass: "wired",
        // Nobody is to connect to it.
        peerPort: () => 0,
        whereabouts: () => ({ addresses: [], subnets: [] }),
        ticket,
        ...(joinKey !== undefined && { joinKey }),
        ...(options.link.ca !== undefined && { ca: options.link.ca }),
        ...(options.link.proxy !== undefined && { proxy: options.link.proxy }),
        clock,
        random,
        logger,
        handler: {
          status({ state, lastError }) {
            if (state === "connected") resolve(undefined);
            else if (state === "waiting" && lastError !== undefined) resolve(lastError);
          },
        },
      });
      link.start();
    });
    return problem === undefined ? undefined : `${problem}${ticketProblem}`;
  } finally {
    cancel?.();
    await link?.close();
    await origin.close();
  }
}
