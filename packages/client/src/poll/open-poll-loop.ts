import { type Clock, describeError, type Logger, type Random } from "@ckmesh/core";
import type { OriginHttp } from "@ckmesh/net";
import { Backoff, PollSchedule } from "@ckmesh/swarm";
import { asAppError } from "../as-app-error.js";
import type { Client } from "../client.js";
import type { ClientConfig } from "../config/config-schema.js";
import { readCredentials } from "../config/origin-config.js";
import { PollLoop } from "./poll-loop.js";

/** Pauses between failed checks of a machine that has nothing yet. */
const RETRY_MIN_MS = 5000;
const RETRY_MAX_MS = 300_000;
/** Not refused credentials: tried again and again they lock an account. */
const TRANSIENT: ReadonlySet<string> = new Set(["ERR_ORIGIN_UNREACHABLE", "ERR_TIMEOUT", "ERR_RATE_LIMITED"]);

export interface PollLoopOptions {
  readonly config: ClientConfig;
  readonly origin: OriginHttp;
  readonly client: Pick<Client, "checkAll" | "isMissingImages">;
  /** Its first bytes decide when this machine asks. */
  readonly peerId: Uint8Array;
  /** When to check first, ms from now; undefined: at its time. */
  readonly firstMs: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** The loop in which a client looks at the origin; not started. */
export function openPollLoop(options: PollLoopOptions): PollLoop {
  const { config, origin, client, peerId, firstMs, clock, random, logger } = options;
  const schedule = new PollSchedule({
    random,
    now: clock.now(),
    wall: clock.wall(),
    intervalMs: config.pollSeconds * 1000,
    phase: Buffer.from(peerId).readUInt32BE(0) / 2 ** 32,
    ...(firstMs !== undefined && { firstMs }),
  });
  const backoff = new Backoff(RETRY_MIN_MS, RETRY_MAX_MS, random);
  const retryMs = (err: unknown): number | undefined => {
    const { code, details } = asAppError(err);
    if (!client.isMissingImages || !TRANSIENT.has(code)) return undefined;
    const asked = details["retryMs"];
    return Math.max(backoff.fail(), typeof asked === "number" ? asked : 0);
  };
  const check = async (signal: AbortSignal): Promise<void> => {
    await renewCredentials(config, origin, logger);
    await client.checkAll(signal);
  };
  return new PollLoop(schedule, clock, logger, check, retryMs);
}

/** A password file may have changed since the last check, which ends the standing refusal of the old password. */
async function renewCredentials(config: ClientConfig, origin: OriginHttp, logger: Logger): Promise<void> {
  try {
    const credentials = await readCredentials(config);
    if (credentials !== undefined) origin.renewCredentials(credentials);
  } catch (err) {
    logger.warn({ reason: describeError(err) }, "password not read again: the old one stays");
  }
}
