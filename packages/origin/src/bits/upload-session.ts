import {
  BitsFault,
  type BitsReply,
  type Fragment,
  type FragmentLimits,
  interruptibleAt,
  openSession,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
  stepSession,
  uploadVanished,
} from "@ckmesh/bits";
import { type AppError, type Clock, isAppError, type Logger, MIB } from "@ckmesh/core";
import { fileErrorCode } from "@ckmesh/store";
import type { UploadWatcher } from "../uploads/upload-intake.js";
import type { BitsRequest } from "./bits-request.js";
import { BodyWriter, growingFile } from "./body-writer.js";
import { ownerName } from "./owner-name.js";
import { receiveBody } from "./receive-body.js";
import type { SessionFolder } from "./session-folder.js";
import type { Notified, SessionRecord } from "./session-record.js";
import { SessionTurns, type Turn } from "./session-turns.js";
import { uploadFault } from "./upload-fault.js";

/** What a session needs of its surroundings. */
export interface SessionParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: () => FragmentLimits;
  /** @throws {BitsFault} 500 with ERROR_DISK_FULL when so much more of the session's file does not fit */
  readonly requireSpace: (sessionId: string, missingBytes: number) => Promise<void>;
  /**
   * Tells a program of the whole file; undefined where none is configured.
   * @throws {BitsFault} when it does not take it
   */
  readonly notify: (session: UploadSession, request: BitsRequest) => Promise<Notified> | undefined;
  readonly received: (bytes: number) => void;
}

/** How a packet of a session ended. */
export interface SessionOutcome {
  readonly reply: BitsReply;
  readonly hasEnded: boolean;
}

/**
 * Bytes that may come until those before them are put on the disk: the last of them wait at Close, and that must be over
 * well within the five minutes of a BITS client.
 */
const FLUSH_BYTES = 256 * MIB;

/** One upload: carries out on disk what its machine decides (`stepSession`). */
export class UploadSession {
  /** Lower case, without braces. */
  readonly id: string;
  readonly folder: SessionFolder;
  readonly #parts: SessionParts;
  readonly #watcher: UploadWatcher;
  readonly #turns: SessionTurns;
  #record: SessionRecord;
  #state: SessionState;
  /** Never rejects. */
  #flushing: Promise<void> | undefined;
  #flushFault: BitsFault | undefined;
  /** The intake was not told yet how it ended. */
  #isFollowed = true;
  /** To the Close that ended it. */
  #closeReply: BitsReply | undefined;

  constructor(
    id: string,
    folder: SessionFolder,
    stored: { readonly record: SessionRecord; readonly received: number },
    watcher: UploadWatcher,
    parts: SessionParts,
  ) {
    this.id = id;
    this.folder = folder;
    this.#record = stored.record;
    this.#state = openSession(stored.received, stored.record.total);
    this.#watcher = watcher;
    this.#parts = parts;
    this.#turns = new SessionTurns(parts.clock, () => interruptibleAt(this.#state));
  }

  get record(): SessionRecord {
    return this.#record;
  }

  /** As `ownerName` has it. */
  get owner(): string {
    return ownerName(this.#record.user);
  }

  get received(): number {
    return this.#state.received;
  }

  /** Bytes of the whole file; undefined before its first fragment. */
  get total(): number | undefined {
    return this.#state.total;
  }

  /** True while a packet runs. */
  get isBusy(): boolean {
    return this.#turns.isHeld;
  }

  fragment(request: BitsRequest, fragment: Fragment): Promise<SessionOutcome> {
    return this.#inTurn((turn) =>
      this.#advance({ type: "fragment", fragment, now: this.#parts.clock.now() }, { request, turn }),
    );
  }

  /** A Close that waited for this one, its client having lost the connection, gets the same answer. */
  close(): Promise<SessionOutcome> {
    return this.#inTurn(async () => {
      if (this.#closeReply !== undefined) return this.#closeReply;
      const wasOpen = this.#state.phase !== "ended";
      const reply = await this.#advance({ type: "close" });
      if (wasOpen && this.#state.phase === "ended") this.#closeReply = reply;
      return reply;
    });
  }

  cancel(): Promise<SessionOutcome> {
    return this.#inTurn(() => this.#advance({ type: "cancel" }), true);
  }

  /**
   * Deletes what there is; a fragment that comes is cut off.
   * @param isDue asked then: false lets the session live
   * @returns whether it was dropped
   */
  async drop(isDue: () => boolean = () => true): Promise<boolean> {
    const turn = await this.#turns.enter(true);
    try {
      if (this.#state.phase === "ended" || !isDue()) return false;
      const { state, effects } = stepSession(this.#state, { type: "drop" }, this.#parts.limits());
      this.#state = state;
      for (const effect of effects) if (effect.type === "discard") await this.#discard();
      return true;
    } finally {
      turn.leave();
    }
  }

  async #inTurn(run: (turn: Turn) => Promise<BitsReply>, isEnd = false): Promise<SessionOutcome> {
    const turn = await this.#turns.enter(isEnd);
    try {
      const reply = await run(turn);
      return { reply, hasEnded: this.#state.phase === "ended" };
    } finally {
      turn.leave();
    }
  }

  async #advance(first: SessionEvent, body?: Body): Promise<BitsReply> {
    let reply: BitsReply | undefined;
    let event: SessionEvent | undefined = first;
    while (event !== undefined) {
      const { state, effects } = stepSession(this.#state, event, this.#parts.limits());
      this.#state = state;
      event = undefined;
      for (const effect of effects) {
        if (effect.type === "reply") ({ reply } = effect);
        else event = await this.#carryOut(effect, body);
        // What was planned after a failure is not done.
        if (event?.type === "failed") break;
      }
    }
    if (body?.interruption !== undefined) throw body.interruption;
    if (reply === undefined) throw new Error("unreachable: a packet without an answer");
    return reply;
  }

  /** @returns what the machine is told then */
  async #carryOut(
    effect: Exclude<SessionEffect, { type: "reply" }>,
    body: Body | undefined,
  ): Promise<SessionEvent | undefined> {
    try {
      switch (effect.type) {
        case "record":
          await this.#write({ ...this.#record, total: effect.total });
          return undefined;
        case "store":
          if (body === undefined) throw new Error("unreachable: bytes without a request");
          return await this.#store(effect, body);
        case "fill":
          if (body === undefined) throw new Error("unreachable: only a fragment is filled up");
          return await this.#fill(effect.received, effect.total, body.request);
        case "publish":
          return await this.#publish(effect.total);
        case "forget":
          await this.#removeFolder();
          return undefined;
        case "discard":
          await this.#discard();
          return undefined;
      }
    } catch (err) {
      return { type: "failed", fault: this.#faultOf(err), ends: false };
    }
  }

  async #store(
    { skip, offset, bytes }: Extract<SessionEffect, { type: "store" }>,
    body: Body,
  ): Promise<SessionEvent> {
    const { request, turn } = body;
    const { clock, requireSpace, received, limits } = this.#parts;
    const { total } = this.#state;
    // It could not be written when it was first said: the disk was full.
    if (total !== undefined && this.#record.total === undefined)
      await this.#write({ ...this.#record, total });
    if (bytes > 0) await requireSpace(this.id, (total ?? 0) - offset);
    const file = await this.folder.openData();
    const writer = new BodyWriter({
      file: growingFile(file),
      offset,
      wrote: async (block, at) => {
        await this.#watcher.wrote(block, at);
        received(block.length);
        this.#flushBetween(at, at + block.length);
        const event = { type: "wrote", bytes: block.length, now: clock.now() } as const;
        this.#state = stepSession(this.#state, event, limits()).state;
      },
    });
    try {
      try {
        await receiveBody(request, { skip, bytes }, turn.cutOff, (chunk) => writer.add(chunk));
      } finally {
        await writer.finish();
      }
      return { type: "stored" };
    } catch (err) {
      if (!isAppError(err, "ERR_ABORTED") && !isAppError(err, "ERR_TIMEOUT")) throw err;
      body.interruption = err;
      return { type: "interrupted" };
    } finally {
      await file.close();
    }
  }

  async #fill(end: number, total: number, request: BitsRequest): Promise<SessionEvent> {
    const { received, missing } = await this.#watcher.fill(end, total);
    const notified = received === total ? await this.#notified(request) : undefined;
    return {
      type: "filled",
      received,
      ...(missing === undefined ? {} : { missing }),
      ...(notified?.replyUrl === undefined ? {} : { replyUrl: notified.replyUrl }),
    };
  }

  /** A program is told once, whatever comes again. */
  async #notified(request: BitsRequest): Promise<Notified | undefined> {
    if (this.#record.notified !== undefined) return this.#record.notified;
    const notified = await this.#parts.notify(this, request);
    if (notified !== undefined) await this.#write({ ...this.#record, notified });
    return notified;
  }

  /** In the background: the client goes on sending. */
  #flushBetween(from: number, to: number): void {
    if (Math.floor(from / FLUSH_BYTES) === Math.floor(to / FLUSH_BYTES)) return;
    this.#flushing ??= this.folder
      .flushData()
      .catch((err: unknown) => {
        this.#parts.logger.error({ err, session: this.id }, "the bytes of an upload cannot be kept");
        this.#flushFault = uploadFault(err, this.folder.path);
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  async #publish(total: number): Promise<SessionEvent> {
    await this.#flushing;
    // The system tells of a lost write once: nobody knows any more which bytes those were.
    if (this.#flushFault !== undefined) return { type: "failed", fault: this.#flushFault, ends: true };
    try {
      await this.folder.flushData();
    } catch (err) {
      if (fileErrorCode(err) !== "ENOENT") throw err;
      return { type: "failed", fault: uploadVanished(err), ends: true };
    }
    if (this.#record.notified?.isPublished === false) {
      this.#unfollow();
      return { type: "published" };
    }
    try {
      await this.#watcher.close(total);
      this.#isFollowed = false;
      return { type: "published" };
    } catch (err) {
      // Anything else has left the file here: the client's next Close tries again.
      if (!(err instanceof BitsFault)) throw err;
      this.#isFollowed = false;
      return { type: "failed", fault: err, ends: true };
    }
  }

  async #discard(): Promise<void> {
    await this.#flushing;
    this.#unfollow();
    await this.#removeFolder();
  }

  #unfollow(): void {
    if (this.#isFollowed) this.#watcher.discard();
    this.#isFollowed = false;
  }

  /** The session has ended, whatever becomes of its folder: the next start of the origin removes what is left. */
  async #removeFolder(): Promise<void> {
    try {
      await this.folder.remove();
    } catch (err) {
      this.#parts.logger.error({ err, session: this.id }, "cannot delete an upload session");
    }
  }

  async #write(record: SessionRecord): Promise<void> {
    await this.folder.write(record);
    this.#record = record;
  }

  #faultOf(err: unknown): BitsFault {
    const fault = uploadFault(err, this.folder.path);
    if (fault.code === "ERR_INTERNAL") {
      this.#parts.logger.error({ err, session: this.id }, "upload failed");
    }
    return fault;
  }
}

/** The request whose body is stored. */
interface Body {
  readonly request: BitsRequest;
  readonly turn: Turn;
  /** Why it broke off: what was written stays, and there is nobody to answer. */
  interruption?: AppError;
}
