import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "@ckmesh/auth";
import {
  BitsFault,
  type BitsReply,
  type DueSession,
  type Fragment,
  type FragmentLimits,
  formatSessionId,
  type OpenSession,
  type PacketHead,
  SESSION_ID_BYTES,
  SessionTable,
  sessionKey,
  sessionNotFound,
} from "@ckmesh/bits";
import type { Clock, Logger, Metrics } from "@ckmesh/core";
import type { Actor } from "../api/image-remover.js";
import type { FoundFile } from "../catalogue/catalogue.js";
import { fileKey } from "../serve/served-path.js";
import { Lanes } from "../uploads/lanes.js";
import type { UploadIntake, UploadTarget } from "../uploads/upload-intake.js";
import type { BitsRequest } from "./bits-request.js";
import type { BitsSettings } from "./bits-settings.js";
import { loadSessions, type StoredSession } from "./load-sessions.js";
import { ownerName } from "./owner-name.js";
import { replyId } from "./reply-name.js";
import { SessionFolder } from "./session-folder.js";
import type { SessionRecord } from "./session-record.js";
import { SessionSweeper } from "./session-sweeper.js";
import { SpaceLeases } from "./space-leases.js";
import { requireSpace } from "./staging-space.js";
import type { UploadAudit, UploadEntry } from "./upload-audit.js";
import { type SessionOutcome, type SessionParts, UploadSession } from "./upload-session.js";

export interface UploadSessionsOptions {
  /** Folder of what is not published yet; sessions lie in `sessions` below it. */
  readonly stagingPath: string;
  readonly settings: () => BitsSettings;
  readonly intake: UploadIntake;
  readonly notify: SessionParts["notify"];
  readonly audit: UploadAudit;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** A packet of a session. */
export type SessionPacket = Extract<PacketHead, { readonly sessionId: string }>;

/** Where a client's packet goes. */
export type FoundSession =
  | { readonly state: "open"; readonly session: UploadSession }
  /** A Close that comes again is answered as the first was. */
  | { readonly state: "ended"; readonly reply: BitsReply };

/** What a client asks for when it creates a session. */
export interface SessionRequest {
  readonly user: Identity;
  readonly target: UploadTarget;
  /** As the client wrote it. */
  readonly url: string;
}

interface CreatedSession {
  readonly id: string;
  readonly sessionId: string;
}

/** Beyond the 13 MB of Windows by far; longer ones only make a broken connection cost more. */
const MAX_FRAGMENT_BYTES = 64 * 1024 * 1024;
/** Sessions of all users: what the origin looks after must have an end. */
const MAX_SESSIONS = 10_000;
/** Bodies that come at a time, each with two blocks of memory; more clients than that are told to come again. */
const MAX_BODIES = 256;
const BUSY_RETRY_SECONDS = 5;

/** All uploads under way, on disk and in memory. */
export class UploadSessions {
  readonly #options: UploadSessionsOptions;
  readonly #folder: string;
  readonly #table: SessionTable;
  readonly #sessions = new Map<string, UploadSession>();
  readonly #parts: SessionParts;
  readonly #gauge;
  readonly #running = new Set<Promise<unknown>>();
  /** One after the other: those that come at once must not pass the limits together. */
  readonly #creations = new Lanes();
  readonly #leases = new SpaceLeases();
  #bodies = 0;
  readonly #sweeper: SessionSweeper;

  private constructor(options: UploadSessionsOptions) {
    const { clock, logger, metrics, settings, notify } = options;
    this.#options = options;
    this.#folder = join(options.stagingPath, "sessions");
    this.#table = new SessionTable(() => ({
      timeoutMs: settings().sessionTimeoutMs,
      perUser: settings().maxSessionsPerUser,
      total: MAX_SESSIONS,
    }));
    this.#sweeper = new SessionSweeper({
      clock,
      cleanupMs: () => settings().cleanupMs,
      table: this.#table,
      drop: (id, why) => this.#track(this.#dropDue(id, why)),
      logger,
    });
    this.#gauge = metrics.gauge("ckmesh_origin_upload_sessions", "Uploads under way");
    const bytes = metrics.counter("ckmesh_origin_uploaded_bytes_total", "Bytes of uploads put on disk");
    this.#parts = {
      clock,
      logger,
      notify,
      limits: (): FragmentLimits => ({
        maxUploadBytes: settings().maxUploadBytes,
        maxFragmentBytes: MAX_FRAGMENT_BYTES,
      }),
      requireSpace: (id, missingBytes) => this.#requireSpace(missingBytes, id),
      received: (count) => bytes.add(count),
    };
  }

  /** Finds the sessions that were under way when the origin ended, however it did. */
  static async open(options: UploadSessionsOptions): Promise<UploadSessions> {
    const sessions = new UploadSessions(options);
    for (const { id, folder, record, data } of await loadSessions(sessions.#folder, options)) {
      sessions.#add(id, folder, record, data);
    }
    sessions.#sweeper.plan();
    return sessions;
  }

  /**
   * Begins an upload.
   * @returns its id, and `sessionId`, the form in which it goes to the client
   * @throws {BitsFault} 503 with too many sessions, 500 without space, and what the intake says
   */
  create(request: SessionRequest): Promise<CreatedSession> {
    return this.#creations.run("", () => this.#create(request));
  }

  async #create({ user, target, url }: SessionRequest): Promise<CreatedSession> {
    this.#table.admit(ownerName(user));
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#requireSpace(0);
    await this.#options.intake.admit(target, user);
    const sessionId = formatSessionId(randomBytes(SESSION_ID_BYTES));
    const id = keyOf(sessionId);
    const folder = new SessionFolder(this.#folder, id);
    const record = { url, user, target, createdAt: Math.round(this.#options.clock.wall()) };
    await folder.create(record);
    this.#add(id, folder, record, { size: 0, changedAt: record.createdAt });
    this.#sweeper.plan();
    return { id, sessionId };
  }

  /**
   * The session of a packet: nobody learns of another user's, nor of one of another URL.
   * @throws {BitsFault} 500 with BG_E_SESSION_NOT_FOUND
   */
  find(packet: SessionPacket, user: Identity, target: UploadTarget): FoundSession {
    const owner = { user: ownerName(user), url: fileKey(target.fileName) };
    const standing = this.#table.find(packet, owner, this.#options.clock.wall());
    if (standing.state === "ended") return standing;
    const session = this.#sessions.get(keyOf(standing.session.sessionId));
    if (session === undefined) throw sessionNotFound();
    return { state: "open", session };
  }

  /** A Close that comes again after a restart. @throws {BitsFault} when that upload was refused */
  wasClosed(sessionId: string, user: Identity): boolean {
    const id = sessionKey(sessionId);
    return id !== undefined && this.#options.intake.wasClosed(id, user);
  }

  /** @throws {BitsFault} 503 when too many bodies come at a time */
  async fragment(session: UploadSession, request: BitsRequest, fragment: Fragment): Promise<BitsReply> {
    if (this.#bodies >= MAX_BODIES) {
      throw new BitsFault("ERR_ORIGIN_BUSY", "too many uploads at a time", {
        status: 503,
        retryAfterSeconds: BUSY_RETRY_SECONDS,
      });
    }
    this.#bodies += 1;
    try {
      return (await this.#run(session, session.fragment(request, fragment))).reply;
    } finally {
      this.#bodies -= 1;
    }
  }

  /** A Close that comes again is answered as this one. */
  async close(session: UploadSession): Promise<BitsReply> {
    const { reply, hasEnded } = await this.#run(session, session.close());
    if (hasEnded) this.#forget(session, reply);
    return reply;
  }

  async cancel(session: UploadSession): Promise<BitsReply> {
    const { reply, hasEnded } = await this.#run(session, session.cancel());
    if (hasEnded) this.#forget(session, undefined);
    return reply;
  }

  async #run(session: UploadSession, packet: Promise<SessionOutcome>): Promise<SessionOutcome> {
    const { clock } = this.#options;
    const outcome = await this.#track(packet).finally(() => this.#leases.renew(session, clock.now()));
    const { reply } = outcome;
    if (reply.type !== "refused") this.#table.progressed(session.id, clock.wall());
    return outcome;
  }

  /**
   * Ends an upload under way for somebody who may.
   * @param id as `StagedUpload.sessionId` has it
   * @returns false when there is no such upload
   */
  async drop(id: string, actor: Actor): Promise<boolean> {
    const session = this.#sessions.get(id);
    if (session === undefined || !(await this.#track(session.drop()))) return false;
    this.#forget(session, undefined);
    this.#noteDrop(session, { outcome: "cancelled", ...actor });
    return true;
  }

  /**
   * What a program answered to an upload, for the user who sent it.
   * @param key of `fileKey`
   */
  async findReply(key: string, user: Identity): Promise<FoundFile | undefined> {
    const id = replyId(key);
    const session = id === undefined ? undefined : this.#sessions.get(id);
    if (session === undefined || session.owner !== ownerName(user)) return undefined;
    const { notified } = session.record;
    if (notified?.replyUrl?.toLowerCase().endsWith(key) !== true) return undefined;
    const stamp = await session.folder.replyStamp();
    if (stamp === undefined) return undefined;
    const lastModified = Math.floor(stamp.mtimeMs / 1000);
    return { file: { ...stamp, fileName: key, etag: `"${session.id}"`, lastModified }, isAlias: true };
  }

  /** The configuration has changed. */
  settingsChanged(): void {
    this.#sweeper.plan();
  }

  /** Waits for the packets that run, `limitMs` at the most. */
  async stop(limitMs: number): Promise<void> {
    this.#sweeper.stop();
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(limitMs, resolve);
      void Promise.allSettled(this.#running).finally(() => {
        cancel();
        resolve();
      });
    });
  }

  get #heldBytes(): number {
    let held = this.#options.intake.heldBytes();
    for (const { received } of this.#sessions.values()) held += received;
    return held;
  }

  /**
   * @param id of the upload, which then has the promise of so much room; undefined: none is begun yet
   * @throws {BitsFault} 500 with ERROR_DISK_FULL
   */
  async #requireSpace(missingBytes: number, id?: string): Promise<void> {
    const { clock, settings } = this.#options;
    const promisedBytes = this.#leases.promisedBytes(this.#sessions.values(), id, clock.now());
    const request = { missingBytes, heldBytes: this.#heldBytes, promisedBytes };
    const session = id === undefined ? undefined : this.#sessions.get(id);
    // Two that ask at once must not both get the last room.
    const takeBack = session && this.#leases.grant(session, clock.now());
    try {
      await requireSpace(this.#folder, request, settings());
    } catch (err) {
      takeBack?.();
      throw err;
    }
  }

  #add(id: string, folder: SessionFolder, record: SessionRecord, data: StoredSession["data"]): void {
    const { target, user, total, createdAt } = record;
    const received = data.size;
    const watcher = this.#options.intake.begin({
      sessionId: id,
      target,
      user,
      path: folder.dataPath,
      received,
      total,
    });
    this.#sessions.set(id, new UploadSession(id, folder, { record, received }, watcher, this.#parts));
    this.#gauge.set(this.#sessions.size);
    const open: OpenSession = {
      sessionId: id,
      user: ownerName(user),
      url: fileKey(target.fileName),
      createdAt,
      // Each fragment has changed the file.
      progressedAt: Math.max(createdAt, data.changedAt),
    };
    this.#table.add(open);
  }

  /** @param reply to a Close; undefined for what no client ended */
  #forget(session: UploadSession, reply: BitsReply | undefined): void {
    if (reply === undefined) this.#table.remove(session.id);
    else this.#table.end(session.id, reply, this.#options.clock.wall());
    this.#sessions.delete(session.id);
    this.#leases.end(session.id);
    this.#gauge.set(this.#sessions.size);
  }

  /** @returns false when it was not the time: a packet runs */
  async #dropDue(id: string, why: DueSession["why"]): Promise<boolean> {
    const session = this.#sessions.get(id);
    if (session === undefined) return true;
    // Whoever is sending has not expired; a surplus one is looked at again.
    if (session.isBusy) return false;
    const { clock } = this.#options;
    const isDue = (): boolean => why === "surplus" || this.#table.isExpired({ sessionId: id }, clock.wall());
    if (!(await session.drop(isDue))) return true;
    this.#forget(session, undefined);
    const { user } = session.record;
    this.#noteDrop(
      session,
      why === "expired"
        ? { outcome: "expired", user: user.name }
        : { outcome: "dropped", user: user.name, reason: "more sessions than BITSNumberOfSessionsLimit" },
    );
    return true;
  }

  #noteDrop(session: UploadSession, how: Pick<UploadEntry, "outcome" | "user" | "address" | "reason">): void {
    const { id, record, received } = session;
    const facts = { ...how, file: record.target.fileName, session: id, bytes: received };
    this.#options.audit.write(facts);
    this.#options.logger.info(facts, "upload session dropped");
  }

  async #track<T>(running: Promise<T>): Promise<T> {
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}

function keyOf(sessionId: string): string {
  const key = sessionKey(sessionId);
  if (key === undefined) throw new Error("unreachable: an id of ours");
  return key;
}
