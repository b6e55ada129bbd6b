import { sessionNotFound, tooManySessions } from "./bits-fault.js";
import type { SessionPacketHead } from "./packet.js";
import type { BitsReply } from "./reply.js";
import { sessionKey } from "./session-id.js";

/** Whom and what a session is bound to. */
export interface SessionOwner {
  /** Names the authenticated user, the same in every packet. */
  readonly user: string;
  /** The URL's path, decoded and checked: the same for every spelling. */
  readonly url: string;
}

export interface OpenSession extends SessionOwner {
  readonly sessionId: string;
  /** Unix ms. */
  readonly createdAt: number;
  /** Unix ms: when a message of this session was last processed. */
  readonly progressedAt: number;
}

export interface SessionTableLimits {
  /** BITSSessionTimeout, in ms. */
  readonly timeoutMs: number;
  /** BITSNumberOfSessionsLimit; undefined: BITSSessionLimitEnable is off. */
  readonly perUser: number | undefined;
  /** Of all users: as many as this server ever holds. */
  readonly total: number;
}

export interface DueSession {
  readonly session: OpenSession;
  readonly why: "expired" | "surplus";
}

/** Where a packet's session stands. `ended`: a repeated Close is answered as the first was. */
export type SessionStanding =
  | { readonly state: "open"; readonly session: OpenSession }
  | { readonly state: "ended"; readonly reply: BitsReply };

/** A Close whose Ack was lost is answered for so long: more than the 5 min that BITS waits ([MC-BUP] 3.1.2.2). */
export const ENDED_MEMORY_MS = 600_000;
/** Ends that are remembered; the oldest are forgotten first. */
export const MAX_ENDED = 1000;
/** A user over the limit may create sessions until the cleanup, but never more than so many times the limit. */
export const SURPLUS_FACTOR = 2;
/** Retry-After of a refused Create-Session. */
const RETRY_AFTER_SECONDS = 60;

interface Ended extends SessionOwner {
  readonly reply: BitsReply;
  readonly until: number;
}

/**
 * Which sessions there are, whose they are, and which must go. Times are Unix ms, because sessions outlive the process;
 * a clock that is set back only lets them live longer.
 */
export class SessionTable {
  readonly #limits: () => SessionTableLimits;
  readonly #open = new Map<string, OpenSession>();
  /** In the order of their end. */
  readonly #ended = new Map<string, Ended>();
  readonly #perUser = new Map<string, number>();

  /** @param limits asked at each decision, so that a reload counts at once */
  constructor(limits: () => SessionTableLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Before a session is created.
   * @throws {BitsFault} 503 when this user, or all together, have as many as may be
   */
  admit(user: string): void {
    const { perUser, total } = this.#limits();
    const mine = this.#perUser.get(user) ?? 0;
    const isFull = this.#open.size >= total || (perUser !== undefined && mine >= perUser * SURPLUS_FACTOR);
    if (isFull) throw tooManySessions(RETRY_AFTER_SECONDS);
  }

  /** A session that was created, or found on disk; those found are taken whatever the limits. */
  add(session: OpenSession): void {
    const key = keyOf(session.sessionId);
    if (this.#open.has(key)) throw new Error("unreachable: a session id came twice");
    this.#open.set(key, session);
    this.#perUser.set(session.user, (this.#perUser.get(session.user) ?? 0) + 1);
  }

  /**
   * The session of a packet; `ended` for a repeated Close only.
   * @throws {BitsFault} 500 with BG_E_SESSION_NOT_FOUND when there is none of this owner
   */
  find(packet: SessionPacketHead, owner: SessionOwner, now: number): SessionStanding {
    const key = sessionKey(packet.sessionId);
    if (key === undefined) throw sessionNotFound();
    const session = this.#open.get(key);
    if (session !== undefined && isOwnedBy(session, owner) && !this.isExpired(session, now)) {
      return { state: "open", session };
    }
    const ended = packet.type === "close" ? this.#ended.get(key) : undefined;
    if (ended !== undefined && isOwnedBy(ended, owner) && now < ended.until) {
      return { state: "ended", reply: ended.reply };
    }
    throw sessionNotFound();
  }

  /** A message of the session was processed with success: its time begins anew. */
  progressed(id: string, now: number): void {
    const key = keyOf(id);
    const session = this.#open.get(key);
    if (session !== undefined) this.#open.set(key, { ...session, progressedAt: now });
  }

  /** Cancelled, expired or dropped. */
  remove(id: string): void {
    const key = keyOf(id);
    const session = this.#open.get(key);
    if (session === undefined) return;
    this.#open.delete(key);
    const left = (this.#perUser.get(session.user) ?? 1) - 1;
    if (left === 0) this.#perUser.delete(session.user);
    else this.#perUser.set(session.user, left);
  }

  /** Closed: `reply` is what a repeated Close of the same owner gets for `ENDED_MEMORY_MS`. */
  end(id: string, reply: BitsReply, now: number): void {
    const session = this.#open.get(keyOf(id));
    if (session === undefined) return;
    this.remove(id);
    this.remember(id, session, reply, now);
  }

  /** The same for a session that ended before this process began. */
  remember(id: string, owner: SessionOwner, reply: BitsReply, now: number): void {
    const { user, url } = owner;
    this.#ended.set(keyOf(id), { user, url, reply, until: now + ENDED_MEMORY_MS });
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= MAX_ENDED) break;
      this.#ended.delete(oldest);
    }
  }

  /**
   * The cleanup task: sessions that are to be dropped, expired ones first. The caller waits for the packet that runs
   * in each, and then asks again: `isExpired` of an expired one.
   */
  due(now: number): readonly DueSession[] {
    for (const [key, ended] of this.#ended) {
      if (now >= ended.until) this.#ended.delete(key);
    }
    const all = [...this.#open.values()];
    const expired = all.filter((session) => this.isExpired(session, now));
    const kept = all.filter((session) => !this.isExpired(session, now));
    return [
      ...expired.map((session) => ({ session, why: "expired" }) as const),
      ...surplus(kept, this.#limits().perUser).map((session) => ({ session, why: "surplus" }) as const),
    ];
  }

  /** Unix ms: when the first session expires unless its client goes on; undefined without sessions. */
  nextExpiry(): number | undefined {
    let oldest: number | undefined;
    for (const { progressedAt } of this.#open.values())
      oldest = Math.min(oldest ?? progressedAt, progressedAt);
    return oldest === undefined ? undefined : oldest + this.#limits().timeoutMs;
  }

  /** False for a session that is gone. */
  isExpired({ sessionId }: Pick<OpenSession, "sessionId">, now: number): boolean {
    const session = this.#open.get(keyOf(sessionId));
    return session !== undefined && now - session.progressedAt >= this.#limits().timeoutMs;
  }
}

/** Of each user the newest above the limit (BITSNumberOfSessionsLimit). */
function surplus(sessions: readonly OpenSession[], perUser: number | undefined): readonly OpenSession[] {
  if (perUser === undefined) return [];
  const counts = new Map<string, number>();
  return sessions
    .toSorted((a, b) => a.createdAt - b.createdAt)
    .filter((session) => {
      const count = (counts.get(session.user) ?? 0) + 1;
      counts.set(session.user, count);
      return count > perUser;
    });
}

function isOwnedBy(held: SessionOwner, owner: SessionOwner): boolean {
  return held.user === owner.user && held.url === owner.url;
}

function keyOf(id: string): string {
  const key = sessionKey(id);
  if (key === undefined) throw new Error("unreachable: a session of ours has an id of ours");
  return key;
}
