import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { AppError, type Clock, describeError, type ErrorCode, type Logger } from "@ckmesh/core";
import { formatListen, type ListenAddress } from "@ckmesh/runtime";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Access, Visitor } from "../access/access.js";
import { certificateEntrance, type Entrance, plainEntrance, tlsEntrance } from "../access/entrance.js";
import { isApiPath, needOf } from "../api/api-paths.js";
import { guardWrite, MAX_WRITE_BYTES } from "../api/write-guard.js";
import { BitsConnections } from "../bits/bits-connections.js";
import type { BitsHandler } from "../bits/bits-request.js";
import { createFileRoute, type FileRouteOptions, isExpectedFailure } from "../serve/file-route.js";
import { AnswerTurns } from "./answer-turns.js";
import { drainBody } from "./drain-body.js";
import { handBack } from "./hand-back.js";
import { httpFailure, RequestError } from "./http-failure.js";
import { endWith } from "./last-words.js";
import { followTls, type ListenerTls, tlsServerOptions } from "./listener-tls.js";
import type { RequestRecorder } from "./request-facts.js";
import { originForm, pathOf } from "./request-target.js";
import type { TlsFiles } from "./tls-options.js";

/** Who sends a request that was let in. */
type VisitorOf = (request: IncomingMessage) => Visitor;
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface ListenerParts {
  readonly access: Access;
  readonly recorder: RequestRecorder;
  readonly files: Omit<FileRouteOptions, "visitorOf">;
  /** Adds what is no file: `api-paths.ts` says who may ask for it. */
  readonly addRoutes: (app: FastifyInstance, visitorOf: VisitorOf) => void;
  /** Nothing to wait for, or a look at the accounts file under way. */
  readonly refreshAccounts: () => Promise<void> | undefined;
  readonly upgrades: ReadonlyMap<string, UpgradeHandler>;
  /** Answers `BITS_POST`. */
  readonly bits: BitsHandler;
  readonly isClosing: () => boolean;
  readonly maxConnections: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One address that the origin listens at. */
export interface Listener {
  readonly isTls: boolean;
  readonly address: ListenAddress;
  readonly needsCertificate: boolean;
  setMaxConnections(count: number): void;
  /** Takes new TLS files; connections under way keep theirs. */
  replaceTls(files: TlsFiles): void;
  /** Ends idle connections and waits `drainMs` for the others, then cuts them. */
  close(drainMs: number): Promise<void>;
}

/** Kerberos tokens are large (RFC 4559); what exceeds this is answered 431. */
const MAX_HEADER_BYTES = 65_536;
/** Slow senders of headers are cut after this, looked for every second. */
const HEADERS_TIMEOUT_MS = 10_000;
const CHECK_INTERVAL_MS = 1000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 65_000;
/** A connection on which nothing moves in either direction. */
const IDLE_TIMEOUT_MS = 60_000;
/** Where every request goes that is no API: the router never sees what the client wrote. */
const FILE_ROUTE = "/-/file";
const RETRY_AFTER_SECONDS = "5";
const HOP_HEADERS = new Set(["connection", "upgrade", "http2-settings"]);
/** An image name of 160 bytes, every one of them encoded, with room to spare. */
const MAX_PARAM_CHARS = 1024;
/** Methods that change nothing. */
const SAFE_METHODS = new Set(["GET", "HEAD"]);

interface ListenerApp {
  readonly app: FastifyInstance;
  /** Connections that Node's server does not know of. */
  readonly bits: BitsConnections;
}

/**
 * Opens one listener, http or https, HTTP/1.1 only.
 * @throws {AppError} ERR_ADDRESS_IN_USE, ERR_CONFIG_INVALID
 */
export async function openListener(
  parts: ListenerParts,
  listen: ListenAddress,
  tls: ListenerTls | undefined,
): Promise<Listener> {
  const { app, bits } = buildApp(parts, tls);
  const { server } = app;
  const replaceTls = tls === undefined ? () => {} : followTls(server, tls);
  server.maxConnections = parts.maxConnections;
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === "websocket") upgrade(parts, request, socket, head);
    else ignoreUpgrade(server, request, socket, head);
  });
  try {
    await app.listen(listen);
  } catch (cause) {
    await app.close();
    throw listenError(cause, listen);
  }
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : listen.port;
  return {
    isTls: tls !== undefined,
    address: { host: listen.host, port },
    needsCertificate: tls?.clients !== undefined,
    replaceTls,
    setMaxConnections: (count) => {
      server.maxConnections = count;
    },
    close: (drainMs) => closeApp({ app, bits }, drainMs),
  };
}

function buildApp(parts: ListenerParts, tls: ListenerTls | undefined): ListenerApp {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  };
  const options = {
    logger: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionTimeout: IDLE_TIMEOUT_MS,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    bodyLimit: MAX_WRITE_BYTES,
    routerOptions: { caseSensitive: false, maxParamLength: MAX_PARAM_CHARS },
    rewriteUrl: (request: IncomingMessage): string => routerUrl(request.url ?? "/"),
    clientErrorHandler: (err: Error & { code?: string }, socket: Socket) => {
      if (!bits.take(err, socket)) answerUnreadable(parts, err, socket);
    },
  } as const;
  const app: FastifyInstance =
    tls === undefined
      ? fastify({ ...options, http: limits })
      : fastify({ ...options, https: { ...limits, ...tlsServerOptions(tls) } });
  // Bodies are JSON: a page of another site can send plain text without asking.
  app.removeContentTypeParser("text/plain");
  const entrance = entranceOf(tls);
  const bits = new BitsConnections(app.server, { ...parts, handler: parts.bits, entrance });
  const turns = new AnswerTurns();
  app.addHook("onRequest", async (request, reply) => {
    bits.keep(request.raw.socket, reply.raw);
    if (await turns.next(request.raw, reply.raw)) await admit(parts, request, reply, entrance);
    else reply.hijack(); // Nobody is there to be answered.
  });
  app.setErrorHandler((err, request, reply) => sendFailure(parts, err, request, reply));
  app.setNotFoundHandler((request, reply) => {
    throw refusedMethod(request, reply, SAFE_METHODS);
  });
  const visitorOf = (request: IncomingMessage): Visitor => {
    const { visitor } = parts.recorder.of(request);
    if (visitor === undefined) throw new Error("unreachable: a request that nobody was asked about");
    return visitor;
  };
  parts.addRoutes(app, visitorOf);
  const fileRoute = createFileRoute({ ...parts.files, visitorOf });
  app.get(FILE_ROUTE, (request, reply) => fileRoute(request, reply, targetOf(request)));
  return { app, bits };
}

function entranceOf(tls: ListenerTls | undefined): Entrance {
  if (tls === undefined) return plainEntrance();
  return tls.clients === undefined ? tlsEntrance() : certificateEntrance(tls.clients);
}

/** Who, may they, and is it a method of ours: in this order, so that nobody unknown learns what exists. */
async function admit(
  parts: ListenerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  entrance: Entrance,
): Promise<void> {
  const facts = parts.recorder.begin(request.raw, reply.raw, targetOf(request));
  reply.header("X-Content-Type-Options", "nosniff");
  if (parts.isClosing()) {
    throw new RequestError("ERR_SHUTTING_DOWN", "the origin is stopping", {
      headers: { "Retry-After": RETRY_AFTER_SECONDS, Connection: "close" },
    });
  }
  const { need, isPossible, methods } = needOf(request.method, pathOf(targetOf(request)));
  if (need !== "open") {
    await parts.refreshAccounts();
    const visitor = await parts.access.identify(request.raw, entrance);
    facts.visitor = visitor;
    if (entrance.isStale(request.raw.socket)) reply.raw.setHeader("Connection", "close");
    // On the bare response: answers with a file go past fastify.
    for (const [name, value] of Object.entries(visitor.headers)) reply.raw.setHeader(name, value);
    const isAdmin = need === "change" && (await parts.access.isGranted("admin", visitor));
    if (!isAdmin) await parts.access.require(need, visitor);
  }
  if (!isPossible) throw refusedMethod(request, reply, methods);
  if (!SAFE_METHODS.has(request.method)) guardWrite(request.raw);
}

/** 405. */
function refusedMethod(
  request: FastifyRequest,
  reply: FastifyReply,
  methods: Iterable<string>,
): RequestError {
  reply.header("Connection", "close");
  const possible = [...methods];
  return new RequestError(
    "ERR_METHOD_NOT_ALLOWED",
    `${request.method} is not possible here; possible: ${possible.join(", ")}`,
    { headers: { Allow: possible.join(", ") } },
  );
}

function sendFailure(
  parts: ListenerParts,
  err: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const failure = httpFailure(err);
  parts.recorder.of(request.raw).subStatus = failure.subStatus;
  if (failure.status >= 500 && !isExpectedFailure(err)) {
    parts.logger.error({ err, method: request.method, target: targetOf(request) }, "request failed");
  }
  if (!drainBody(request.raw)) reply.header("Connection", "close");
  for (const [name, value] of Object.entries(failure.headers)) {
    reply.header(name, typeof value === "string" ? value : [...value]);
  }
  return reply.code(failure.status).send({ code: failure.code, message: failure.message });
}

function upgrade(parts: ListenerParts, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on("error", () => socket.destroy()); // A broken connection; whoever took it over has its own handler.
  const handler = parts.upgrades.get(pathOf(originForm(request.url ?? "/")).toLowerCase());
  if (parts.isClosing() || handler === undefined) {
    const status = handler === undefined ? "404 Not Found" : "503 Service Unavailable";
    endWith(socket, `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  handler(request, socket, head);
}

/**
 * An upgrade that we do not offer (some clients ask for h2c by default) is to be ignored (RFC 9110 §7.8), but
 * Node has taken its parser off the connection: the request goes in again without that wish.
 */
function ignoreUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { rawHeaders, method = "GET", url = "/", httpVersion } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (!HOP_HEADERS.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[i + 1] ?? ""}`);
  }
  handBack(server, socket, Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]));
}

/** What Node's parser refuses never becomes a request. */
function answerUnreadable(parts: ListenerParts, err: Error & { code?: string }, socket: Socket): void {
  if (err.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  if (isForgedCertificate(err, socket)) {
    parts.access.certificateWasForged(socket);
    endWithFailure(socket, "403 Forbidden", "ERR_AUTH_FORBIDDEN", "the client certificate is not genuine");
    return;
  }
  const status =
    err.code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : err.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? "408 Request Timeout"
        : "400 Bad Request";
  endWithFailure(socket, status, "ERR_REQUEST_INVALID", "the request cannot be read");
}

/**
 * A client certificate whose signature is wrong leaves an error behind in OpenSSL, which Node takes for one of the
 * connection's reading: the request is not seen, or is seen and then this comes.
 */
function isForgedCertificate(err: { readonly code?: string }, socket: Socket): boolean {
  return (
    socket instanceof TLSSocket &&
    err.code?.startsWith("ERR_SSL_") === true &&
    !socket.authorized &&
    socket.getPeerX509Certificate() !== undefined
  );
}

function endWithFailure(socket: Socket, status: string, code: ErrorCode, message: string): void {
  const body = JSON.stringify({ code, message });
  endWith(
    socket,
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

async function closeApp({ app, bits }: ListenerApp, drainMs: number): Promise<void> {
  const cut = setTimeout(() => {
    app.server.closeAllConnections();
    bits.destroy();
  }, drainMs);
  bits.close();
  try {
    await app.close();
  } finally {
    clearTimeout(cut);
  }
}

/** The target as the client wrote it, in origin form. */
function targetOf(request: FastifyRequest): string {
  return originForm(request.originalUrl);
}

function routerUrl(url: string): string {
  const target = originForm(url);
  return isApiPath(pathOf(target)) ? target : FILE_ROUTE;
}

function listenError(cause: unknown, listen: ListenAddress): AppError {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const where = formatListen(listen);
  if (code === "EADDRINUSE") {
    return new AppError("ERR_ADDRESS_IN_USE", `another program listens at ${where}`, { cause });
  }
  return new AppError("ERR_CONFIG_INVALID", `cannot listen at ${where}: ${describeError(cause)}`, { cause });
}
