import {
  type BitsFault,
  fragmentTooLarge,
  invalidPacket,
  outOfStep,
  refusal,
  sessionNotFound,
  uploadTooLarge,
} from "./bits-fault.js";
import { fragmentLength } from "./content-range.js";
import type { Fragment } from "./packet.js";
import type { BitsReply } from "./reply.js";

/**
 * One upload at the server, from Create-Session to its end. The driver feeds it one message at a time: the next
 * packet waits until the last one has been answered, was interrupted, or failed.
 *
 * - `idle`: between packets.
 * - `storing`: a fragment's bytes arrive; left by `stored`, `interrupted`, `failed`.
 * - `filling`: the intake may append bytes that it has; left by `filled`, `failed`.
 * - `closing`: the file is being handed to the intake; left by `published`, `failed`.
 * - `ended`: every packet is answered as to an unknown session.
 */
export interface SessionState {
  readonly phase: "idle" | "storing" | "filling" | "closing" | "ended";
  /** Bytes in the data file, without a hole: the next byte wanted. */
  readonly received: number;
  /** Known from the first fragment on, and the same in all. */
  readonly total: number | undefined;
  /** While `storing`: where the fragment ends, at least `received`. */
  readonly end: number;
  /** Monotonic ms: when a fragment last began or wrote bytes. */
  readonly progressAt: number;
}

export type SessionEvent =
  | { readonly type: "fragment"; readonly fragment: Fragment; readonly now: number }
  /** So many more bytes of the running fragment are in the data file. */
  | { readonly type: "wrote"; readonly bytes: number; readonly now: number }
  /** The body was read to its end, and all that was asked for is written. */
  | { readonly type: "stored" }
  /** The connection broke, or was cut off for a waiting packet; what was written stays. */
  | { readonly type: "interrupted" }
  /** What the intake did after the fragment. */
  | {
      readonly type: "filled";
      readonly received: number;
      readonly missing?: readonly [number, number];
      readonly replyUrl?: string;
    }
  | { readonly type: "close" }
  /** The intake has taken the file. */
  | { readonly type: "published" }
  | { readonly type: "cancel" }
  /** Storing, filling or closing went wrong. `ends`: so does the session, as after a refusal by the intake. */
  | { readonly type: "failed"; readonly fault: BitsFault; readonly ends: boolean }
  /** The session expired or is one too many. */
  | { readonly type: "drop" };

export type SessionEffect =
  /** Put the total in the session's record before a byte is written. */
  | { readonly type: "record"; readonly total: number }
  /** Throw away `skip` bytes of the body, then write `bytes` at `offset` of the data file; then `stored`. */
  | { readonly type: "store"; readonly skip: number; readonly offset: number; readonly bytes: number }
  /** Let the intake append what it has; then `filled`. */
  | { readonly type: "fill"; readonly received: number; readonly total: number }
  /** Make the file durable and hand it over; then `published` or `failed`. */
  | { readonly type: "publish"; readonly total: number }
  /** Delete the record: the file is the intake's now. */
  | { readonly type: "forget" }
  /** Delete the record, and of the data file what is there. */
  | { readonly type: "discard" }
  | { readonly type: "reply"; readonly reply: BitsReply };

export interface SessionStep {
  readonly state: SessionState;
  /** In order. */
  readonly effects: readonly SessionEffect[];
}

export interface FragmentLimits {
  /** BITSMaximumUploadSize. */
  readonly maxUploadBytes: number;
  /** A longer fragment is answered 413. */
  readonly maxFragmentBytes: number;
}

/** A fragment that brought nothing for so long is cut off when another packet of its session waits. */
export const STALLED_FRAGMENT_MS = 10_000;

/**
 * A session that was just created, or found on disk.
 * @param received bytes in the data file
 */
export function openSession(received: number, total: number | undefined): SessionState {
  return { phase: "idle", received, total, end: received, progressAt: 0 };
}

/**
 * When the running packet may be interrupted for one that waits (monotonic ms); undefined: it must be waited for. A
 * client that lost its connection comes again before the server sees the loss.
 */
export function interruptibleAt(state: SessionState): number | undefined {
  return state.phase === "storing" ? state.progressAt + STALLED_FRAGMENT_MS : undefined;
}

/** Advances one session by one event. */
export function stepSession(state: SessionState, event: SessionEvent, limits: FragmentLimits): SessionStep {
  switch (event.type) {
    case "fragment":
      return ended(state) ?? begin(inPhase(state, "idle"), event.fragment, event.now, limits);
    case "wrote":
      return wrote(inPhase(state, "storing"), event.bytes, event.now);
    case "stored":
      return stored(inPhase(state, "storing"));
    case "interrupted":
      return { state: idle(inPhase(state, "storing")), effects: [] };
    case "filled":
      return filled(inPhase(state, "filling"), event);
    case "close":
      return ended(state) ?? close(inPhase(state, "idle"));
    case "published":
      return end(inPhase(state, "closing"), { type: "forget" }, { type: "reply", reply: { type: "ack" } });
    case "cancel":
      return (
        ended(state) ??
        end(inPhase(state, "idle"), { type: "discard" }, { type: "reply", reply: { type: "ack" } })
      );
    case "failed":
      return failed(inPhase(state, "storing", "filling", "closing"), event.fault, event.ends);
    case "drop":
      return state.phase === "ended"
        ? { state, effects: [] }
        : end(inPhase(state, "idle"), { type: "discard" });
  }
}

/** The rows of [MC-BUP] 3.2.5.2.6, in their order; the syntax was checked before. */
function begin(state: SessionState, fragment: Fragment, now: number, limits: FragmentLimits): SessionStep {
  const bytes = fragmentLength(fragment);
  const { first, last, total } = fragment;
  if (total > limits.maxUploadBytes) return refused(state, uploadTooLarge(total, limits.maxUploadBytes));
  if (bytes > limits.maxFragmentBytes)
    return refused(state, fragmentTooLarge(bytes, limits.maxFragmentBytes));
  if (state.total !== undefined && total !== state.total) {
    return refused(state, invalidPacket(`the total changed from ${state.total} to ${total}`));
  }
  if (first > state.received) return refused(state, outOfStep(first, state.received));
  const skip = Math.min(bytes, state.received - first);
  return {
    state: { ...state, phase: "storing", total, end: Math.max(state.received, last + 1), progressAt: now },
    effects: [
      ...(state.total === undefined ? [{ type: "record", total } as const] : []),
      { type: "store", skip, offset: state.received, bytes: bytes - skip },
    ],
  };
}

function wrote(state: SessionState, bytes: number, now: number): SessionStep {
  const received = state.received + bytes;
  if (bytes < 0 || received > state.end)
    throw new Error("unreachable: more was written than the fragment has");
  return { state: { ...state, received, progressAt: now }, effects: [] };
}

function stored(state: SessionState): SessionStep {
  const { received, total } = state;
  if (received !== state.end || total === undefined)
    throw new Error("unreachable: a fragment was not written whole");
  return { state: { ...state, phase: "filling" }, effects: [{ type: "fill", received, total }] };
}

function filled(state: SessionState, event: Extract<SessionEvent, { type: "filled" }>): SessionStep {
  const { received, missing, replyUrl } = event;
  if (received < state.received || received > (state.total ?? 0)) {
    throw new Error("unreachable: the intake filled backwards or beyond the total");
  }
  const reply: BitsReply = {
    type: "received",
    received,
    ...(missing === undefined ? {} : { missing }),
    ...(replyUrl === undefined ? {} : { replyUrl }),
  };
  return { state: idle({ ...state, received }), effects: [{ type: "reply", reply }] };
}

/** Also a file of no bytes is incomplete: no Content-Range can say its total, and an empty image is none. */
function close(state: SessionState): SessionStep {
  const { received, total } = state;
  if (total === undefined || received < total) {
    const fault = invalidPacket(`${received} of ${total ?? "unknown"} bytes are there`);
    return end(state, { type: "discard" }, { type: "reply", reply: refusal(fault) });
  }
  return { state: { ...state, phase: "closing" }, effects: [{ type: "publish", total }] };
}

function failed(state: SessionState, fault: BitsFault, ends: boolean): SessionStep {
  if (ends) return end(state, { type: "discard" }, { type: "reply", reply: refusal(fault) });
  if (state.phase !== "closing") return refused(idle(state), fault);
  return { state: idle(state), effects: [{ type: "reply", reply: refusal(fault) }] };
}

function refused(state: SessionState, fault: BitsFault): SessionStep {
  return { state, effects: [{ type: "reply", reply: refusal(fault, state.received) }] };
}

function ended(state: SessionState): SessionStep | undefined {
  if (state.phase !== "ended") return undefined;
  return { state, effects: [{ type: "reply", reply: refusal(sessionNotFound()) }] };
}

function end(state: SessionState, ...effects: readonly SessionEffect[]): SessionStep {
  return { state: { ...state, phase: "ended", end: state.received }, effects };
}

function idle(state: SessionState): SessionState {
  return { ...state, phase: "idle", end: state.received };
}

function inPhase(state: SessionState, ...phases: readonly SessionState["phase"][]): SessionState {
  if (!phases.includes(state.phase)) throw new Error(`unreachable: not expected while ${state.phase}`);
  return state;
}
