import {
  type BitsPacket,
  beginUpload,
  fragmentLength,
  stepUpload,
  type UploadEvent,
  type UploadState,
  uploadRecord,
} from "@ckmesh/bits";
import { type AppError, type Clock, isAppError, type Random, wait } from "@ckmesh/core";
import type { OriginCalls, RequestBody } from "@ckmesh/net";
import { exchangePacket } from "./exchange-packet.js";
import type { UploadPacer } from "./upload-pacer.js";
import type { ResumePoint } from "./upload-resume-file.js";
import type { UploadSource } from "./upload-source.js";

/** What an upload needs of the world. */
export interface UploadWorld {
  readonly calls: OriginCalls;
  readonly pacer: UploadPacer | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborted: the session stays, and the upload can be resumed. */
  readonly signal: AbortSignal;
}

export interface FileUpload {
  /** In the origin's folder. */
  readonly fileName: string;
  readonly source: UploadSource;
  /** Length of the first fragment: the server may know from it what need not be sent. */
  readonly firstBytes?: number;
  /** Where an earlier upload of the same source ended. */
  readonly resume: ResumePoint | undefined;
  /** Where this one is: at each session, then now and then, at the end. */
  onPoint(point: ResumePoint): Promise<void>;
  /** `received`: of the file, what the server has, or is under way; `sent`: bytes sent in all, those twice too. */
  onProgress(received: number, sent: number): void;
  /** Tries again after `ms`. */
  onWait(reason: AppError, ms: number): void;
}

/** Distance of two points, ms: what a crash costs is asked of the server anyway. */
const POINT_EVERY_MS = 1000;

/**
 * Uploads one file.
 * @returns the session's id
 * @throws {AppError} what the server says against it; ERR_UPLOAD_CONFLICT when the file changed; ERR_AUTH_REQUIRED;
 *   ERR_ORIGIN_UNREACHABLE, ERR_TIMEOUT after many tries; ERR_ABORTED
 */
export async function uploadFile(upload: FileUpload, world: UploadWorld): Promise<string> {
  return await new FileUploader(upload, world).run();
}

class FileUploader {
  readonly #upload: FileUpload;
  readonly #world: UploadWorld;
  #sent = 0;
  #point: ResumePoint | undefined;
  #isNoted = true;
  #notedAt = Number.NEGATIVE_INFINITY;

  constructor(upload: FileUpload, world: UploadWorld) {
    this.#upload = upload;
    this.#world = world;
  }

  async run(): Promise<string> {
    const { source, firstBytes, resume } = this.#upload;
    const { calls, clock, random, signal } = this.#world;
    const plan = {
      totalBytes: source.size,
      host: calls.host,
      ...(firstBytes !== undefined && { firstBytes }),
    };
    let { state, action } = beginUpload(plan, resume);
    try {
      for (;;) {
        let event: UploadEvent;
        switch (action.type) {
          case "send":
            event = await this.#send(action.packet, state.received);
            break;
          case "wait": {
            const ms = Math.max(0, action.until - clock.now());
            this.#upload.onWait(action.reason, ms);
            await wait(clock, ms, signal);
            event = { type: "wake", now: clock.now() };
            break;
          }
          case "done": {
            const { sessionId } = state;
            if (sessionId === undefined) throw new Error("unreachable: closed without a session");
            this.#point = { sessionId, received: source.size, isClosed: true };
            this.#isNoted = false;
            return sessionId;
          }
          case "failed":
            throw action.error;
          case "cancelled":
            throw new Error("unreachable: nobody cancels");
        }
        ({ state, action } = stepUpload(plan, state, event, random));
        await this.#notePoint(state);
      }
    } finally {
      if (this.#point !== undefined && !this.#isNoted) await this.#upload.onPoint(this.#point);
    }
  }

  async #send(packet: BitsPacket, received: number): Promise<UploadEvent> {
    const { clock, signal, calls } = this.#world;
    const { source, fileName } = this.#upload;
    const isOfContent = packet.type === "fragment" || packet.type === "close";
    if (isOfContent && !(await source.isUnchanged())) return { type: "changed", now: clock.now() };
    this.#upload.onProgress(received, this.#sent);
    const body = packet.type === "fragment" ? this.#body(packet.fragment) : undefined;
    try {
      const path = `${calls.basePath}/${encodeURIComponent(fileName)}`;
      const reply = await exchangePacket(calls, path, packet, body, signal);
      return { type: "reply", reply, now: clock.now() };
    } catch (err) {
      if (!isAppError(err) || signal.aborted) throw err;
      if (err.code === "ERR_UPLOAD_CONFLICT") return { type: "changed", now: clock.now() };
      return { type: "lost", error: err, now: clock.now() };
    }
  }

  #body(fragment: { readonly first: number; readonly last: number; readonly total: number }): RequestBody {
    const { pacer, signal } = this.#world;
    const { source } = this.#upload;
    return {
      length: fragmentLength(fragment),
      read: () => {
        const parts = source.read(fragment.first, fragment.last);
        return this.#counted(fragment.first, pacer === undefined ? parts : pacer.pace(parts, signal));
      },
    };
  }

  async *#counted(first: number, parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let at = first;
    for await (const part of parts) {
      at += part.length;
      this.#sent += part.length;
      this.#upload.onProgress(at, this.#sent);
      yield part;
    }
  }

  async #notePoint(state: UploadState): Promise<void> {
    const record = uploadRecord(state);
    if (record === undefined) return;
    const now = this.#world.clock.now();
    const isNew = record.sessionId !== this.#point?.sessionId;
    this.#point = { ...record, isClosed: false };
    this.#isNoted = false;
    if (!isNew && now - this.#notedAt < POINT_EVERY_MS) return;
    this.#notedAt = now;
    this.#isNoted = true;
    await this.#upload.onPoint(this.#point);
  }
}
