import type { Identity } from "@ckmesh/auth";
import {
  accessDenied,
  type BitsAnswer,
  BitsFault,
  type BitsReply,
  encodeReply,
  invalidPacket,
  type PacketHead,
  parsePacket,
  parsePacketHead,
  type RefusedReply,
  refusal,
  requireContentLength,
  sessionKey,
  sessionNotFound,
  uploadsDisabled,
} from "@ckmesh/bits";
import { isAppError, type Logger, statusOf } from "@ckmesh/core";
import type { Access, Visitor } from "../access/access.js";
import type { Entrance } from "../access/entrance.js";
import { httpFailure, RequestError } from "../listener/http-failure.js";
import { plainAddress } from "../listener/request-facts.js";
import { parseServedPath } from "../serve/served-path.js";
import type { UploadIntake, UploadTarget } from "../uploads/upload-intake.js";
import type { BitsHandler, BitsRequest } from "./bits-request.js";
import type { BitsSettings } from "./bits-settings.js";
import type { UploadAudit } from "./upload-audit.js";
import { uploadFault } from "./upload-fault.js";
import type { UploadSession } from "./upload-session.js";
import type { FoundSession, SessionPacket, UploadSessions } from "./upload-sessions.js";

export interface BitsEndpointOptions {
  readonly access: Pick<Access, "identify" | "require">;
  readonly settings: () => BitsSettings;
  readonly sessions: UploadSessions;
  readonly intake: UploadIntake;
  readonly audit: UploadAudit;
  /** Of the virtual directory. */
  readonly directoryName: string;
  readonly logger: Logger;
}

/**
 * Answers the packets of BITS uploads, in the order of checks of [MC-BUP] 3.2.5.2.3: is it a message, may its sender,
 * is its length said, is there such a session, what does it want. Whoever is not known gets 401 also where everybody
 * may read: otherwise no client would ever say who it is.
 */
export function createBitsEndpoint(options: BitsEndpointOptions): BitsHandler {
  return async (request, entrance) => {
    const context: Context = { options, request, entrance, visitor: undefined, head: undefined };
    const answer = await answerOf(context);
    return { status: answer.status, headers: { ...context.visitor?.headers, ...answer.headers } };
  };
}

/** What is known of a packet so far. */
interface Context {
  readonly options: BitsEndpointOptions;
  readonly request: BitsRequest;
  readonly entrance: Entrance;
  visitor: Visitor | undefined;
  head: PacketHead | undefined;
}

/** @throws {AppError} ERR_ABORTED, ERR_TIMEOUT: the connection is of no use any more */
async function answerOf(context: Context): Promise<BitsAnswer> {
  let reply: BitsReply;
  try {
    reply = await handle(context);
  } catch (err) {
    if (isAppError(err, "ERR_ABORTED") || isAppError(err, "ERR_TIMEOUT")) throw err; // The connection's.
    const fault = faultOf(err, context);
    if (fault === undefined) return httpAnswer(err, context);
    reply = refusal(fault);
  }
  if (reply.type === "refused") noteRefusal(context, reply);
  const { head } = context;
  return encodeReply(reply, head !== undefined && "sessionId" in head ? head.sessionId : undefined);
}

async function handle(context: Context): Promise<BitsReply> {
  const { options, request, entrance } = context;
  if (!options.settings().isEnabled) throw uploadsDisabled();
  const head = parsePacketHead(request.headers);
  context.head = head;
  const visitor = await options.access.identify(request, entrance);
  context.visitor = visitor;
  request.facts.visitor = visitor;
  await options.access.require("change", visitor);
  const user = visitor.identity;
  if (user === undefined) throw new Error("unreachable: nobody unknown may change anything");
  const path = parseServedPath(request.target, options.directoryName);
  if (path.type === "outside") throw uploadsDisabled();
  const contentLength = requireContentLength(head, request.contentLength);
  if (head.type === "ping") return { type: "ack" };
  const hasSession = "sessionId" in head;
  if (path.type === "directory") {
    throw hasSession ? sessionNotFound() : invalidPacket("a folder is no file to upload");
  }
  const target = options.intake.parseTarget(path.segment);
  if (hasSession) return inSession(context, { user, target, head, contentLength });
  parsePacket(head, request.headers, contentLength);
  return create(context, user, target);
}

async function create(context: Context, user: Identity, target: UploadTarget): Promise<BitsReply> {
  const { sessions, settings, audit, logger } = context.options;
  const url = context.request.target;
  const { id, sessionId } = await sessions.create({ user, target, url });
  const facts = { user: user.name, file: target.fileName, session: id };
  audit.write({ outcome: "created", address: addressOf(context), ...facts });
  logger.info(facts, "upload session created");
  const { host } = settings();
  return { type: "created", sessionId, ...(host === undefined ? {} : { host }) };
}

interface SessionFacts {
  readonly user: Identity;
  readonly target: UploadTarget;
  readonly head: SessionPacket;
  readonly contentLength: number;
}

async function inSession(
  context: Context,
  { user, target, head, contentLength }: SessionFacts,
): Promise<BitsReply> {
  const { options, request } = context;
  const { sessions } = options;
  const found = findSession(sessions, head, user, target);
  if (found.state === "ended") return found.reply;
  const { session } = found;
  if (head.type === "fragment") return takeFragment(context, session, head, contentLength);
  const packet = parsePacket(head, request.headers, contentLength);
  switch (packet.type) {
    case "close":
      return noteEnd(context, session, "closed", await sessions.close(session));
    case "cancel":
      return noteEnd(context, session, "cancelled", await sessions.cancel(session));
    case "ping":
    case "create":
    case "fragment":
      throw new Error("unreachable: answered before");
  }
}

/** Whatever becomes of it, the Ack says which byte is wanted next ([MC-BUP] 2.2.7.2). */
async function takeFragment(
  { options, request }: Context,
  session: UploadSession,
  head: PacketHead,
  contentLength: number,
): Promise<BitsReply> {
  try {
    const packet = parsePacket(head, request.headers, contentLength);
    if (packet.type !== "fragment") throw new Error("unreachable: a fragment was asked for");
    return await options.sessions.fragment(session, request, packet.fragment);
  } catch (err) {
    if (err instanceof BitsFault) return refusal(err, session.received);
    throw err;
  }
}

function findSession(
  sessions: UploadSessions,
  packet: SessionPacket,
  user: Identity,
  target: UploadTarget,
): FoundSession {
  try {
    return sessions.find(packet, user, target);
  } catch (err) {
    const isRepeated = packet.type === "close" && isAppError(err, "ERR_BITS_SESSION_NOT_FOUND");
    if (isRepeated && sessions.wasClosed(packet.sessionId, user))
      return { state: "ended", reply: { type: "ack" } };
    throw err;
  }
}

function noteEnd(
  context: Context,
  session: UploadSession,
  outcome: "closed" | "cancelled",
  reply: BitsReply,
): BitsReply {
  if (reply.type === "refused") return reply;
  const { record, id, received } = session;
  const facts = { user: record.user.name, file: record.target.fileName, session: id, bytes: received };
  context.options.audit.write({ outcome, address: addressOf(context), ...facts });
  context.options.logger.info(facts, `upload session ${outcome}`);
  return reply;
}

/** What was refused to somebody known, except for what clients put right by themselves. */
function noteRefusal(context: Context, reply: RefusedReply): void {
  const { visitor, head, request, options } = context;
  const user = visitor?.identity;
  const isFinal = head?.type === "create" || head?.type === "close" || reply.status === 403;
  if (user === undefined || !isFinal) return;
  const { status, code, message } = reply;
  const session = head !== undefined && "sessionId" in head ? sessionKey(head.sessionId) : undefined;
  options.audit.write({
    outcome: "refused",
    user: user.name,
    address: addressOf(context),
    file: request.target,
    ...(session === undefined ? {} : { session }),
    status,
    ...(code === undefined ? {} : { code }),
    ...(message === undefined ? {} : { reason: message }),
  });
}

/** Undefined for what is answered as to any other request. */
function faultOf(err: unknown, { options, request }: Context): BitsFault | undefined {
  if (err instanceof BitsFault) return err;
  if (isAppError(err, "ERR_AUTH_FORBIDDEN")) {
    request.facts.subStatus = err instanceof RequestError ? err.subStatus : 0;
    return accessDenied(err.message);
  }
  if (isAppError(err) && statusOf(err.code) !== 500 && !isAppError(err, "ERR_STORE_FULL")) return undefined;
  const fault = uploadFault(err, request.target);
  if (fault.code === "ERR_INTERNAL") {
    options.logger.error({ err, target: request.target }, "upload packet failed");
  }
  return fault;
}

/** 401, 429, 503 and what else comes before anything of BITS. */
function httpAnswer(err: unknown, { request }: Context): BitsAnswer {
  const { status, subStatus, headers } = httpFailure(err);
  request.facts.subStatus = subStatus;
  return { status, headers };
}

function addressOf({ request }: Context): string {
  return plainAddress(request.socket.remoteAddress ?? "");
}
