import type { Socket } from "node:net";
import { type BitsAnswer, BitsFault, encodeReply, refusal, serverFailed } from "@ckmesh/bits";
import { AppError, type Clock, isAppError, type Logger, statusOf } from "@ckmesh/core";
import type { Entrance } from "../access/entrance.js";
import { endWith } from "../listener/last-words.js";
import type { RequestEntry, RequestRecorder } from "../listener/request-facts.js";
import { answerText } from "./answer-text.js";
import type { BitsHandler } from "./bits-request.js";
import { ConnectionSource } from "./connection-source.js";
import { beginsAsVerb, type DetachedConnection, VERB } from "./native-parser.js";
import { RequestBody } from "./request-body.js";
import { HeadCollector, parseHead, type RequestHead } from "./request-head.js";

export interface BitsConnectionParts {
  readonly handler: BitsHandler;
  readonly entrance: Entrance;
  readonly recorder: RequestRecorder;
  readonly refreshAccounts: () => Promise<void> | undefined;
  readonly isClosing: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Takes a connection on which something else than `BITS_POST` comes next. */
  readonly handBack: (socket: Socket, bytes: Buffer) => void;
}

/** Between two packets: BITS throttles itself and pauses, and its logon holds for the connection. */
export const BITS_IDLE_MS = 180_000;
/** From the first byte of a head to its last; those of requests that were sent ahead count from their turn. */
export const HEAD_TIMEOUT_MS = 60_000;
/** How long a client may take to read an answer of a few hundred bytes. */
export const ANSWER_TIMEOUT_MS = 60_000;
/**
 * What is read of a body after its refusal, so that the connection and its logon stay usable: Windows sends
 * fragments of 13 MB at most ([MC-BUP] 2.2.6, note 16).
 */
export const MAX_DRAINED_BYTES = 16 * 1024 * 1024;
/** For those bytes: what a link of 1 Mbit/s needs. Whoever sends them may be nobody that is known. */
export const DRAIN_MS = 140_000;
const RETRY_AFTER_SECONDS = 5;
/** The name of a method is long enough to see that it is another. */
const VERB_BYTES = VERB.length + 1;
const EMPTY_LINE = Buffer.from("\r\n");
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** A connection that speaks BITS: answers one request after the other, until another method comes or it ends. */
export class BitsConnection {
  readonly #socket: Socket;
  readonly #parts: BitsConnectionParts;
  readonly #source: ConnectionSource;
  /** No byte of a next request is there. */
  #isIdle = false;
  /** When the head that comes next must be there, on the clock. */
  #headEnd = 0;

  /** @param first from the verb on */
  constructor(socket: Socket, first: Buffer, parts: BitsConnectionParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#source = new ConnectionSource(socket, parts.clock, first);
  }

  /** Resolves when the connection is somebody else's or ends. Never rejects. */
  async serve(detached: DetachedConnection): Promise<void> {
    try {
      if (!(await detached.release())) return;
      while (await this.#serveNext());
    } catch (err) {
      this.#socket.destroy();
      if (isLost(err)) return;
      this.#parts.logger.error({ err }, "upload connection failed");
    }
  }

  /** Ends the connection now if no request is under way, else after its answer. */
  close(): void {
    if (this.#isIdle) this.#source.stop();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** @returns false when it was the last request that is ours */
  async #serveNext(): Promise<boolean> {
    const start = await this.#readVerb();
    if (start === undefined) {
      endWith(this.#takeSocket(), "");
      return false;
    }
    this.#source.putBack(start);
    if (!beginsAsVerb(start)) {
      const bytes = this.#source.detach();
      this.#parts.handBack(this.#socket, bytes);
      return false;
    }
    let head: Buffer;
    let parsed: RequestHead;
    try {
      head = await this.#readHead();
      parsed = parseHead(head);
    } catch (err) {
      this.#refuseHead(err);
      return false;
    }
    return this.#answer(parsed, head.length);
  }

  /** The first bytes of the next request, enough to see whether it is ours; undefined when none comes. */
  async #readVerb(): Promise<Buffer | undefined> {
    const { clock, isClosing } = this.#parts;
    let start: Buffer = Buffer.alloc(0);
    this.#headEnd = clock.now() + BITS_IDLE_MS;
    while (start.length < VERB_BYTES && beginsAsVerb(start)) {
      this.#isIdle = start.length === 0;
      const chunk = this.#isIdle && isClosing() ? undefined : await this.#nextOfHead();
      if (this.#isIdle) this.#headEnd = clock.now() + HEAD_TIMEOUT_MS;
      this.#isIdle = false;
      if (chunk === undefined) return undefined;
      start = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      // An empty line before a request is to be ignored (RFC 9112 §2.2).
      if (start.indexOf(EMPTY_LINE) === 0) start = start.subarray(EMPTY_LINE.length);
    }
    return start;
  }

  /** @throws {BitsFault} @throws {AppError} ERR_ABORTED */
  async #readHead(): Promise<Buffer> {
    const collector = new HeadCollector();
    for (;;) {
      const chunk = await this.#nextOfHead();
      if (chunk === undefined) throw headTimeout();
      const taken = collector.take(chunk);
      if (taken === undefined) continue;
      this.#source.putBack(taken.rest);
      return taken.head;
    }
  }

  /** Undefined also when its time is over: a client that is silent for long has nothing more to say. */
  async #nextOfHead(): Promise<Buffer | undefined> {
    try {
      return await this.#source.next(Math.max(0, this.#headEnd - this.#parts.clock.now()));
    } catch (err) {
      if (isAppError(err, "ERR_TIMEOUT")) return undefined;
      throw err;
    }
  }

  /** What is no head has no end either: nothing behind it can be understood. */
  #refuseHead(err: unknown): void {
    if (!(err instanceof BitsFault)) throw err;
    this.#endWith(encodeReply(refusal(err)));
  }

  async #answer(head: RequestHead, headBytes: number): Promise<boolean> {
    const { recorder, clock } = this.#parts;
    const socket = this.#socket;
    const record = recorder.open({ socket, method: VERB, headers: head.headers }, head.target);
    const sayContinue = head.expectsContinue ? () => void socket.write(CONTINUE) : undefined;
    const body = new RequestBody(this.#source, clock, head.contentLength ?? 0, sayContinue);
    let status = statusOf("ERR_ABORTED");
    try {
      const answer = await this.#ask(head, body, record);
      ({ status } = answer);
      const isLast =
        head.isLast ||
        this.#parts.isClosing() ||
        !body.isFollowable ||
        body.left > MAX_DRAINED_BYTES ||
        this.#parts.entrance.isStale(socket);
      if (isLast) {
        this.#endWith(answer);
        return false;
      }
      await this.#write(answerText(answer, { wall: clock.wall(), isLast }));
      body.endWithin(DRAIN_MS);
      while ((await body.read()) !== undefined);
      return true;
    } finally {
      record.end(status, headBytes + body.received);
    }
  }

  async #ask(head: RequestHead, body: RequestBody, { facts }: RequestEntry): Promise<BitsAnswer> {
    const { handler, entrance, refreshAccounts, isClosing, logger } = this.#parts;
    if (isClosing()) return encodeReply(refusal(stopping()));
    const { target, headers, contentLength } = head;
    const socket = this.#socket;
    const broken = new AbortController();
    const onClose = (): void => broken.abort();
    socket.once("close", onClose);
    if (socket.destroyed) broken.abort();
    try {
      await refreshAccounts();
      const { signal } = broken;
      const read = (): Promise<Buffer | undefined> => body.read();
      return await handler({ socket, target, headers, contentLength, signal, facts, read }, entrance);
    } catch (err) {
      // Without an answer: BITS clients go on where they were after a lost connection, and may give up at a 408.
      if (isLost(err)) throw err;
      logger.error({ err, method: VERB, target }, "request failed");
      return encodeReply(refusal(serverFailed(err)));
    } finally {
      socket.off("close", onClose);
    }
  }

  async #write(text: string): Promise<void> {
    const { clock } = this.#parts;
    await new Promise<void>((resolve, reject) => {
      const cancel = clock.after(ANSWER_TIMEOUT_MS, () =>
        reject(new AppError("ERR_TIMEOUT", "the client does not read its answer")),
      );
      this.#socket.write(text, (err) => {
        cancel();
        if (err === null || err === undefined) resolve();
        else reject(new AppError("ERR_ABORTED", "the connection is gone", { cause: err }));
      });
    });
  }

  #endWith(answer: BitsAnswer): void {
    endWith(this.#takeSocket(), answerText(answer, { wall: this.#parts.clock.wall(), isLast: true }));
  }

  /** For its last words: what comes in now is nobody's. */
  #takeSocket(): Socket {
    this.#source.detach();
    this.#socket.on("error", () => this.#socket.destroy());
    return this.#socket;
  }
}

/** The connection is of no use any more: broken, or too slow. */
function isLost(err: unknown): boolean {
  return isAppError(err, "ERR_ABORTED") || isAppError(err, "ERR_TIMEOUT");
}

function headTimeout(): BitsFault {
  return new BitsFault("ERR_TIMEOUT", "the head did not come to its end in time", { status: 408 });
}

function stopping(): BitsFault {
  return new BitsFault("ERR_SHUTTING_DOWN", "the origin is stopping", {
    status: statusOf("ERR_SHUTTING_DOWN"),
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
