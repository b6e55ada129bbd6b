import { AppError, Fields } from "@ckmesh/core";
import { type ClientOutcome, MAX_TALLIED_CLIENTS, OUTCOMES, OutcomeTally } from "./outcome-tally.js";

/** One version whose clients are asked how it went. */
export interface RolloutState {
  readonly image: string;
  readonly version: number;
  /** Of the rollout in the control record: what was reported before does not count. */
  readonly since: number;
  readonly tally: OutcomeTally;
  /** Unix ms; undefined: the origin does not hold it. */
  heldAt: number | undefined;
}

/** All rollouts of an origin together. */
export const MAX_ROLLOUTS = 1000;
const MAX = Number.MAX_SAFE_INTEGER;
const MAX_CODE_LENGTH = 64;

export function encodeRollouts(states: Iterable<RolloutState>): string {
  const rollouts = Array.from(states, ({ image, version, since, tally, heldAt }) => ({
    image,
    version,
    since,
    heldAt,
    clients: Array.from(tally.clients, ([client, { outcome, code }]) =>
      code === undefined ? [client, outcome] : [client, outcome, code],
    ),
  }));
  return JSON.stringify({ rollouts });
}

/** @throws {AppError} ERR_STORE_CORRUPT @throws {SyntaxError} */
export function decodeRollouts(text: string): readonly RolloutState[] {
  const parsed: unknown = JSON.parse(text);
  const list = new Fields(parsed, "rollouts", "ERR_STORE_CORRUPT").list("rollouts", MAX_ROLLOUTS);
  return list.map((item) => {
    const fields = new Fields(item, "rollout", "ERR_STORE_CORRUPT");
    return {
      image: fields.string("image", 255),
      version: fields.int("version", 1, MAX),
      since: fields.int("since", 1, MAX),
      tally: new OutcomeTally(fields.list("clients", MAX_TALLIED_CLIENTS).map(parseClient)),
      heldAt: fields.has("heldAt") ? fields.int("heldAt", 0, MAX) : undefined,
    };
  });
}

function parseClient(value: unknown): readonly [string, ClientOutcome] {
  const [client, said, code] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  const outcome = OUTCOMES.find((each) => each === said);
  if (typeof client !== "string" || client.length > MAX_CODE_LENGTH || outcome === undefined) {
    throw new AppError("ERR_STORE_CORRUPT", "an outcome cannot be read");
  }
  const isCode = typeof code === "string" && code.length <= MAX_CODE_LENGTH;
  return [client, { outcome, ...(isCode && { code }) }];
}
