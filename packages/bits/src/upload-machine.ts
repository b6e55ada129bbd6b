import { AppError, type ErrorCode, type Random } from "@ckmesh/core";
import { fragmentLength } from "./content-range.js";
import { adapted, halved, nextFragment, startSize } from "./fragment-size.js";
import type { BitsPacket } from "./packet.js";
import type { BitsReply, CreatedReply } from "./reply.js";
import type { UploadAction, UploadEvent, UploadPlan, UploadRecord } from "./upload-messages.js";
import { judgeRefusal } from "./upload-refusal.js";
import type { UploadState, UploadStep } from "./upload-state.js";

/** Default of `UploadPlan.patienceMs`: a restart of the server, a short fault of the network. */
export const PATIENCE_MS = 900_000;
/** Waits between tries: doubled from the first to the last, ± half by chance. */
const FIRST_WAIT_MS = 1000;
const LAST_WAIT_MS = 60_000;
/** Sessions that a server may lose before the upload fails: it would begin at 0 for ever. */
export const MAX_NEW_SESSIONS = 5;
/** Answers in a session that bring no byte more than an earlier one and do not move on either. */
export const MAX_STALE_ANSWERS = 32;
/** Cancel-Session is tried so often; after that the session ends by its time-out. */
export const MAX_CANCEL_TRIES = 3;

/** What may pass when there was no reply. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  "ERR_ORIGIN_UNREACHABLE",
  "ERR_ORIGIN_INVALID",
  "ERR_ORIGIN_BUSY",
  "ERR_TIMEOUT",
  "ERR_AUTH_UNAVAILABLE",
  "ERR_RATE_LIMITED",
  "ERR_SHUTTING_DOWN",
] satisfies readonly ErrorCode[]);

/** @param record of an earlier run of the same file to the same URL */
export function beginUpload(plan: UploadPlan, record?: UploadRecord): UploadStep {
  if (!Number.isSafeInteger(plan.totalBytes) || plan.totalBytes < 1) {
    throw new Error("unreachable: an empty file cannot be uploaded");
  }
  const isResumed = record !== undefined && record.received <= plan.totalBytes;
  const received = isResumed ? record.received : 0;
  return ping({
    phase: "pinging",
    sessionId: isResumed ? record.sessionId : undefined,
    received,
    missing: undefined,
    size: startSize(plan.maxFragmentBytes),
    isProbe: isResumed,
    sent: undefined,
    isHeard: false,
    sessionsLost: 0,
    highest: received,
    staleAnswers: 0,
    failures: 0,
    failingSince: 0,
    givenUp: undefined,
  });
}

/** What to keep for a restart; undefined while there is no session to go on with. */
export function uploadRecord({ phase, sessionId, received }: UploadState): UploadRecord | undefined {
  return phase === "ended" || sessionId === undefined ? undefined : { sessionId, received };
}

/** Advances an upload by one event. `random` spreads the waits of many clients. */
export function stepUpload(
  plan: UploadPlan,
  state: UploadState,
  event: UploadEvent,
  random: Random,
): UploadStep {
  if (state.phase === "ended") throw new Error("unreachable: the upload has ended");
  switch (event.type) {
    case "reply":
      return answered(plan, { ...state, isHeard: true }, event.reply, event.now, random);
    case "lost":
      if (!PASSING.has(event.error.code) || !state.isHeard) return fail(state, event.error);
      return retry(plan, state, event.error, 0, event.now, random);
    case "wake":
      if (state.phase !== "waiting") throw new Error(`unreachable: awake while ${state.phase}`);
      return ping(state);
    case "changed":
      return giveUp(state, new AppError("ERR_UPLOAD_CONFLICT", "the file changed while it was uploaded"));
    case "cancel":
      return giveUp(state);
  }
}

function answered(
  plan: UploadPlan,
  state: UploadState,
  reply: BitsReply,
  now: number,
  random: Random,
): UploadStep {
  const packet = packetOf(state);
  switch (reply.type) {
    case "ack":
      if (packet === "ping") return proceed(plan, state, now);
      if (packet === "close") return finish(state, { type: "done" });
      if (packet === "cancel") return givenUp(state);
      throw new Error(`unreachable: a plain Ack to ${packet}`);
    case "created":
      if (packet !== "create") throw new Error(`unreachable: a session created by ${packet}`);
      return created(plan, state, reply, now);
    case "received":
      return moveOn(plan, state, reply.received, reply.missing, now);
    case "refused":
      break;
  }
  const verdict = judgeRefusal(packet, reply);
  switch (verdict.type) {
    case "newSession":
      return newSession(state, verdict.error);
    case "resync":
      return moveOn(plan, state, verdict.received, undefined, now);
    case "smaller":
      return smaller(plan, state, verdict.error, now);
    case "retry":
      return retry(plan, state, verdict.error, verdict.afterMs, now, random);
    case "fatal":
      return fail(state, verdict.error);
  }
}

function packetOf({ phase }: UploadState): BitsPacket["type"] {
  switch (phase) {
    case "pinging":
      return "ping";
    case "creating":
      return "create";
    case "sending":
      return "fragment";
    case "closing":
      return "close";
    case "cancelling":
      return "cancel";
    case "waiting":
    case "ended":
      throw new Error(`unreachable: no answer is expected while ${phase}`);
  }
}

/** The next packet, with connection and logon in place. */
function proceed(plan: UploadPlan, state: UploadState, now: number): UploadStep {
  const { sessionId } = state;
  if (sessionId === undefined) return send(state, "creating", { type: "create" });
  if (state.givenUp !== undefined) return send(state, "cancelling", { type: "cancel", sessionId });
  if (state.received === plan.totalBytes) return send(state, "closing", { type: "close", sessionId });
  const fragment = nextFragment({
    received: state.received,
    total: plan.totalBytes,
    size: state.size,
    missing: state.missing,
    isProbe: state.isProbe,
    firstBytes: plan.firstBytes,
  });
  const sent = { fragment, at: now };
  return send({ ...state, sent }, "sending", { type: "fragment", sessionId, fragment });
}

function created(plan: UploadPlan, state: UploadState, reply: CreatedReply, now: number): UploadStep {
  const host = reply.host?.name ?? plan.host;
  // Credentials go to hosts that the user named, so another one is for the user to name.
  if (host.toLowerCase() !== plan.host.toLowerCase()) {
    const message = `the server wants this upload at ${host}: give that host in the URL`;
    return fail(state, new AppError("ERR_UPLOAD_REFUSED", message, { details: { host } }));
  }
  const fresh = { received: 0, highest: 0, staleAnswers: 0, missing: undefined, isProbe: false };
  return proceed(plan, { ...state, ...fresh, ...NO_FAILURE, sessionId: reply.sessionId }, now);
}

/** Goes on where the server says, be it behind or ahead of what was sent ([MC-BUP] 3.1.5.1.4). */
function moveOn(
  plan: UploadPlan,
  state: UploadState,
  next: number,
  missing: readonly [number, number] | undefined,
  now: number,
): UploadStep {
  const { sent, size } = state;
  if (sent === undefined) throw new Error("unreachable: no fragment was sent");
  const isRun = missing === undefined || (missing[1] >= next && missing[1] < plan.totalBytes);
  if (next > plan.totalBytes || !isRun) {
    return fail(
      state,
      new AppError("ERR_ORIGIN_INVALID", "the server wants bytes that the file does not have"),
    );
  }
  const isStale = next <= sent.fragment.first;
  const staleAnswers = next > state.highest ? 0 : state.staleAnswers + (isStale ? 1 : 0);
  if (staleAnswers > MAX_STALE_ANSWERS) {
    return fail(state, new AppError("ERR_ORIGIN_INVALID", `the server does not get beyond byte ${next}`));
  }
  const isWhole = next === sent.fragment.last + 1 && fragmentLength(sent.fragment) === size.bytes;
  const following: UploadState = {
    ...state,
    ...(isStale ? {} : NO_FAILURE),
    received: next,
    highest: Math.max(state.highest, next),
    missing,
    staleAnswers,
    isProbe: false,
    size: isWhole ? adapted(size, now - sent.at) : size,
  };
  return proceed(plan, following, now);
}

function smaller(plan: UploadPlan, state: UploadState, error: AppError, now: number): UploadStep {
  if (state.sent === undefined) throw new Error("unreachable: no fragment was sent");
  const size = halved(state.size, fragmentLength(state.sent.fragment));
  return size === undefined ? fail(state, error) : proceed(plan, { ...state, size }, now);
}

function newSession(state: UploadState, error: AppError): UploadStep {
  if (state.givenUp !== undefined) return givenUp(state);
  const sessionsLost = state.sessionsLost + 1;
  if (sessionsLost > MAX_NEW_SESSIONS) return fail(state, error);
  const lost: UploadState = { ...state, sessionsLost, sessionId: undefined, received: 0 };
  return send(lost, "creating", { type: "create" });
}

const NO_FAILURE = { failures: 0, failingSince: 0 } as const;

function retry(
  plan: UploadPlan,
  state: UploadState,
  reason: AppError,
  afterMs: number,
  now: number,
  random: Random,
): UploadStep {
  const failures = state.failures + 1;
  const failingSince = state.failures === 0 ? now : state.failingSince;
  const tries = (state.givenUp?.tries ?? 0) + 1;
  if (state.givenUp !== undefined && tries >= MAX_CANCEL_TRIES) return fail(state, reason);
  const usual = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(state.failures, 16));
  const until = now + Math.max(afterMs, usual * (0.5 + random.next()));
  // A wait that ends after the patience does is not begun.
  if (until - failingSince > (plan.patienceMs ?? PATIENCE_MS)) return fail(state, reason);
  return {
    state: {
      ...state,
      phase: "waiting",
      failures,
      failingSince,
      isProbe: true,
      sent: undefined,
      givenUp: state.givenUp === undefined ? undefined : { ...state.givenUp, tries },
    },
    action: { type: "wait", until, reason },
  };
}

/** The server may forget the session, if there is one. */
function giveUp(state: UploadState, error?: AppError): UploadStep {
  const { sessionId } = state;
  const given: UploadState = { ...state, givenUp: { ...(error === undefined ? {} : { error }), tries: 0 } };
  if (sessionId === undefined || !state.isHeard) return givenUp(given);
  return send(given, "cancelling", { type: "cancel", sessionId });
}

function givenUp(state: UploadState): UploadStep {
  const error = state.givenUp?.error;
  return finish(state, error === undefined ? { type: "cancelled" } : { type: "failed", error });
}

function ping(state: UploadState): UploadStep {
  return send(state, "pinging", { type: "ping" });
}

function send(state: UploadState, phase: UploadState["phase"], packet: BitsPacket): UploadStep {
  const sent = packet.type === "fragment" ? state.sent : undefined;
  return { state: { ...state, phase, sent }, action: { type: "send", packet } };
}

/** What made the upload be given up says more than why the server could not be told. */
function fail(state: UploadState, error: AppError): UploadStep {
  return finish(state, { type: "failed", error: state.givenUp?.error ?? error });
}

function finish(state: UploadState, action: UploadAction): UploadStep {
  return { state: { ...state, phase: "ended", sent: undefined }, action };
}
