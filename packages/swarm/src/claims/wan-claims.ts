import type { Run } from "@ckmesh/core";
import {
  CLAIM_PROGRESS_MS,
  CLAIM_REPEAT_MS,
  CLAIM_VOID_MS,
  HAVE_INTERVAL_MS,
  MAX_OPEN_CLAIMS,
  OPEN_CLAIMS,
} from "../constants.js";
import { Patience } from "../links/patience.js";
import { type ChosenSpan, SpanChoice, type SpanChoiceContext } from "../rows/span-choice.js";
import type { FetchId, FetchResult, SwarmEffect } from "../swarm-messages.js";
import { OriginWait } from "../wan/origin-wait.js";
import { WanRate } from "../wan/wan-rate.js";
import { ClaimAnnouncer, type UnsignedClaim } from "./claim-announcer.js";
import { compareClaims, isFaster } from "./claim-contest.js";
import { ClaimRoom, type ClaimRoomContext } from "./claim-room.js";
import { claimLeftMs, type OwnClaim } from "./own-claim.js";

/** What the claims of this client need to know of the rest of the machine. */
export interface WanContext extends SpanChoiceContext, ClaimRoomContext {
  /** True if it is only promised by others, and likely to be taken back. */
  readonly isLeftOut: (row: number) => boolean;
  readonly hasLinks: () => boolean;
  /** Patience ran out: claims of whom nothing was ever borne out no longer count. */
  readonly distrust: (now: number) => void;
  /** Until when the site was told to wait, by what peers say; 0: it was not. */
  readonly pausedUntil: () => number;
  readonly announce: (claim: UnsignedClaim) => void;
  readonly freed: (run: Run) => void;
  readonly emit: (effect: SwarmEffect) => void;
}

/**
 * The claims of this client and its fetches at the origin (site swarm rules 5–14). A claim is open (announced,
 * waiting two gossip delays), then moving (its rows are fetched, one run after the other), then done or
 * released; paused while the origin wants this client to wait. One fetch runs at a time; the next claim is opened
 * before it ends.
 */
export class WanClaims {
  readonly #context: WanContext;
  readonly #wait: OriginWait;
  readonly #room: ClaimRoom;
  readonly #announcer: ClaimAnnouncer;
  readonly #rate = new WanRate();
  readonly #patience: Patience;
  readonly #choice: SpanChoice;
  #own: OwnClaim[] = [];
  #nextFetch: FetchId = 1;
  #isGateOpen = true;

  /** @param epoch start of this run's epochs: higher than any of an earlier run (for example Unix seconds) */
  constructor(context: WanContext, epoch: number, now: number) {
    this.#context = context;
    const { peerId, random, announce } = context;
    this.#announcer = new ClaimAnnouncer(peerId, this.#rate, announce, epoch);
    this.#wait = new OriginWait(random);
    this.#room = new ClaimRoom(context, this.#rate);
    this.#patience = new Patience(random, now);
    this.#choice = new SpanChoice(context);
  }

  /** Spans became known. */
  reorder(): void {
    this.#choice.reorder();
  }

  /** Claims that move now; for the status. */
  get moving(): number {
    return this.#own.filter((own) => own.state === "moving").length;
  }

  get isClaiming(): boolean {
    return this.#own.length > 0;
  }

  /** When this client last said something of its claims. */
  get saidAt(): number {
    return this.#announcer.saidAt;
  }

  /** What this client last said of its rate, bytes per second. */
  get announcedRate(): number {
    return this.#announcer.saidRate;
  }

  /** The gate or the WAN budget changed: what runs against it ends now. */
  setGate(isOpen: boolean, now: number): void {
    if (isOpen && !this.#isGateOpen) this.#patience.toldToWait(now);
    this.#isGateOpen = isOpen;
    for (const { fetch, pacedSince } of this.#own) {
      const isWhole = this.#context.lane.isLimited && pacedSince === undefined;
      if (fetch !== undefined && (!isOpen || isWhole))
        this.#context.emit({ type: "abort-fetch", fetch: fetch.id });
    }
  }

  firstByte(ms: number, now: number): void {
    this.#context.lane.firstByte(ms, now);
  }

  verified(now: number): void {
    this.#patience.renewed(now);
  }

  /** A peer says that it is at work on what it has promised. */
  heardOfWork(now: number): void {
    this.#patience.heardOfWork(now);
  }

  /** Rows of a fetch were verified and stored. */
  stored(fetch: FetchId, bytes: number, now: number): void {
    const own = this.#own.find((o) => o.fetch?.id === fetch);
    if (own === undefined) return;
    own.bytesDone += bytes;
    if (own.fetch !== undefined) own.fetch.leftBytes -= bytes;
    own.movedAt = now;
    const isFirst = own.state === "open";
    own.state = "moving";
    this.#wait.moved();
    this.#rate.add(bytes, now);
    this.#context.lane.received(bytes, now);
    // Everybody's share depends on who moves.
    if (isFirst && this.#context.lane.isLimited) this.#announcer.send(own, own.state, now);
  }

  ended(fetch: FetchId, result: FetchResult, retryMs: number | undefined, now: number): void {
    const own = this.#own.find((o) => o.fetch?.id === fetch);
    if (own?.fetch === undefined) return;
    this.#giveBack(own.fetch.rows);
    delete own.fetch;
    if (result === "done") {
      if (own.pacedSince === undefined || !this.#mustWait(now)) this.#fetchNext(own, now);
      return;
    }
    if (result === "failed" && retryMs !== undefined) {
      this.#pause(own, retryMs, now);
      return;
    }
    if (result === "failed" || result === "bad") this.#wait.failed(now);
    this.#end(own, "released", now);
  }

  /** A claim of another peer arrived: the loser of a conflict lets go (rule 9). */
  contest(span: number, now: number): void {
    const own = this.#own.find((o) => o.span === span);
    if (own === undefined || own.isImpatient) return;
    const rival = this.#context.claims.best(span);
    const mine = this.#room.contender(own, now);
    if (rival === undefined || compareClaims(mine, rival) < 0) return;
    if (own.fetch !== undefined && isFaster(rival.rate, mine.rate))
      this.#context.claims.displaced(span, rival.claim.claimer);
    if (own.fetch !== undefined) this.#context.emit({ type: "abort-fetch", fetch: own.fetch.id });
    this.#end(own, "released", now);
  }

  /**
   * Promises came: fetches of rows that come without the WAN end. Newcomers with an older version promise all frames
   * until they know better: what is fetched because a delta leaves it out goes on, or each of them would cost a part
   * of a frame.
   */
  promised(now: number): void {
    for (const own of this.#own) {
      if (own.fetch === undefined || own.isImpatient) continue;
      const next = this.#firstMissing(own.fetch.rows);
      if (!this.#context.isPromised(next) || this.#context.isLeftOut(next)) continue;
      this.#context.emit({ type: "abort-fetch", fetch: own.fetch.id });
      this.#giveBack(own.fetch.rows);
      delete own.fetch;
      this.#fetchNext(own, now);
    }
  }

  /** Own claims, for a peer that has just come. */
  current(now: number): UnsignedClaim[] {
    return this.#own.map((own) => this.#announcer.message(own, own.state, now));
  }

  /** Opens, starts and repeats claims as far as it is time. Returns when to look again. */
  run(now: number, isSettled: boolean, mayOpen: boolean): number {
    const heard = this.#context.pausedUntil();
    if (heard > now) this.#patience.heardOfPause(heard);
    for (const own of this.#own) this.#advance(own, now);
    let due = Number.POSITIVE_INFINITY;
    if (isSettled && this.#isGateOpen) {
      const heldUntil = this.#heldUntil(now);
      if (heldUntil > now) due = heldUntil;
      else if (mayOpen || this.#choice.isUnderWay) due = this.#open(now);
    }
    for (const own of this.#own) {
      due = Math.min(
        due,
        this.#announcer.dueAt(own),
        own.fetch === undefined ? this.#startDue(own, now) : Infinity,
      );
      if (own.fetch !== undefined)
        due = Math.min(due, Math.max(own.movedAt + CLAIM_VOID_MS, now + HAVE_INTERVAL_MS));
      const handover = this.#handoverAt(own, now);
      if (this.#own.length < this.#openClaims(now)) due = Math.min(due, Math.max(handover, now + 20));
    }
    if (this.#context.table.missing === 0) return due;
    const patience = this.#impatientAt();
    return Math.min(due, patience > now ? patience : now + CLAIM_PROGRESS_MS);
  }

  #advance(own: OwnClaim, now: number): void {
    if (own.fetch === undefined && now >= own.startAt) {
      const heldUntil = own.isNext || own.isImpatient ? this.#wait.until : this.#heldUntil(now);
      if (heldUntil > now || !this.#isGateOpen) {
        if (heldUntil - now > CLAIM_REPEAT_MS || !this.#isGateOpen) this.#end(own, "released", now);
        else own.startAt = heldUntil;
      } else if (this.#isTurnOf(own, now)) {
        const isUnderWay = own.pacedSince !== undefined && own.state !== "paused";
        if (own.state === "paused") {
          own.state = own.bytesDone > 0 ? "moving" : "open";
          this.#announcer.send(own, own.state, now);
        }
        if (isUnderWay || own.isImpatient || this.#room.mayStart(own, now)) this.#fetchNext(own, now);
        else this.#end(own, "released", now);
      }
    }
    if (own.fetch !== undefined && now - own.movedAt >= CLAIM_VOID_MS) this.#yield(own, own.fetch.rows, now);
    if (this.#own.includes(own) && this.#announcer.isDue(own, now)) this.#announcer.send(own, own.state, now);
  }

  /**
   * Rule 14: told to wait is not failed. The claim stays, and says for how long: so nobody else runs into the origin
   * for these rows, nor takes the claim for dead. It is given up when the others no longer believe it.
   */
  #pause(own: OwnClaim, retryMs: number, now: number): void {
    const believedUntil = this.#wait.told(retryMs, now);
    this.#patience.toldToWait(this.#wait.until);
    own.startAt = Math.min(this.#wait.until, believedUntil);
    own.state = "paused";
    if (own.startAt > now) this.#announcer.send(own, "paused", now);
    else this.#end(own, "released", now);
  }

  /**
   * Until when no fetch may begin. The origin's word to a peer of the site holds for all but those whose bytes move:
   * they ask for no more places than the site has.
   */
  #heldUntil(now: number): number {
    const goesOn =
      this.#own.some((own) => (own.fetch ?? own.pacedSince) !== undefined) || now >= this.#impatientAt();
    return goesOn ? this.#wait.until : Math.max(this.#wait.until, this.#context.pausedUntil());
  }

  /** One fetch after the other; in paced runs the older claim goes first. */
  #isTurnOf(own: OwnClaim, now: number): boolean {
    const [first, next] = this.#own;
    const { lane } = this.#context;
    if (this.#own.every((o) => o.fetch === undefined))
      return !lane.isLimited || (own === first && !this.#mustWait(now));
    if (first?.fetch === undefined || own !== next || next?.fetch !== undefined) return false;
    const isLast = first.fetch.rows.first + first.fetch.rows.count === first.rows.first + first.rows.count;
    return isLast && first.fetch.leftBytes <= lane.aheadBytes(now) && !this.#mustWait(now);
  }

  #mustWait(now: number): boolean {
    return this.#context.lane.readyAt(now) > now;
  }

  #startDue(own: OwnClaim, now: number): number {
    if (!this.#context.lane.isLimited) return Math.max(own.startAt, now + 1);
    return own === this.#own[0] ? Math.max(own.startAt, this.#context.lane.readyAt(now), now + 1) : Infinity;
  }

  /** A fetch that stands still gives way as soon as a peer offers what it was to bring, or somebody else claims it. */
  #yield(own: OwnClaim, rows: Run, now: number): void {
    const { isOffered, emit } = this.#context;
    const row = this.#firstMissing(rows);
    const isTakenOver = this.#context.claims.best(own.span) !== undefined;
    if (own.fetch === undefined || !(isTakenOver || isOffered(row))) return;
    emit({ type: "abort-fetch", fetch: own.fetch.id });
    this.#end(own, "released", now);
  }

  #firstMissing(rows: Run): number {
    let row = rows.first;
    while (row < rows.first + rows.count && !this.#context.table.isMissing(row)) row += 1;
    return row;
  }

  /** Opens claims while there is room for them. */
  #open(now: number): number {
    const isImpatient = now >= this.#impatientAt();
    const most = this.#openClaims(now);
    while (this.#own.length < most) {
      const moving = this.#own.find((own) => (own.fetch ?? own.pacedSince) !== undefined);
      if (this.#own.length > 0 && (moving === undefined || now < this.#handoverAt(moving, now)))
        return Infinity;
      if (this.#own.length === 0 && !isImpatient) {
        const turnAt = this.#room.turnAt(now);
        if (turnAt > now) return turnAt;
      }
      if (this.#own.length > 0 && !this.#room.has(now, "next")) return Infinity;
      const found = this.#choose(now, isImpatient);
      if (found === undefined) return this.#choice.isUnderWay ? now + 1 : Infinity;
      const alone = !this.#context.hasLinks() || (moving !== undefined && this.#context.lane.isSole(now));
      const own: OwnClaim = {
        span: found.span,
        score: this.#context.score(found.span, this.#context.peerId),
        rows: found.rows,
        state: "open",
        startAt: alone ? now : now + 2 * this.#context.gossipMs(),
        bytesDone: 0,
        movedAt: now,
        sentAt: Number.NEGATIVE_INFINITY,
        sentBytes: 0,
        isImpatient,
        isNext: moving !== undefined,
      };
      if (isImpatient) {
        this.#patience.ranOut(now);
        this.#context.distrust(now);
      }
      this.#room.turnTaken();
      this.#own.push(own);
      this.#announcer.send(own, "open", now);
      this.#advance(own, now);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** The next span; where none is left, one that a far slower machine, or one that was told to wait, holds. */
  #choose(now: number, isImpatient: boolean): ChosenSpan | undefined {
    const next = this.#choice.next((span) => this.#own.some((own) => own.span === span), isImpatient);
    if (next !== undefined) return next;
    if (this.#own.length === 0) return this.#choice.ofSlower(this.#rate.value(now));
    return this.#own.some((own) => own.fetch !== undefined) ? this.#choice.ofPaused(now) : undefined;
  }

  /** Claims to hold open, so that the next is ready when the one that moves ends. */
  #openClaims(now: number): number {
    const spanMs = (this.#context.table.grid.spanBytes * 1000) / this.#rate.early(now);
    const needed = 1 + Math.ceil((2 * this.#context.gossipMs()) / spanMs);
    return Math.min(MAX_OPEN_CLAIMS, Math.max(OPEN_CLAIMS, needed));
  }

  #impatientAt(): number {
    return this.#patience.endsAt(this.#context.claims.longestVoidMs);
  }

  /** Fetches the next rows of the claim that are still needed; ends the claim when there are none. */
  #fetchNext(own: OwnClaim, now: number): void {
    const { table, lane, emit } = this.#context;
    const { isLimited } = lane;
    const rows = table.firstFree(
      own.rows,
      lane.runBytes(now),
      (row) => own.isImpatient || !this.#choice.isComing(row),
    );
    if (rows === undefined) {
      this.#end(own, own.bytesDone > 0 ? "done" : "released", now);
      return;
    }
    table.move(rows, "free", "fetching");
    const id = this.#nextFetch;
    this.#nextFetch += 1;
    const leftBytes = table.grid.runBytes(rows);
    own.fetch = { id, rows, startedAt: now, leftBytes };
    own.movedAt = now;
    if (isLimited) this.#context.lane.begin(leftBytes, now);
    if (isLimited) own.pacedSince ??= now;
    else delete own.pacedSince;
    this.#rate.begin(now, isLimited);
    emit({ type: "fetch", fetch: id, rows, span: own.span });
  }

  #end(own: OwnClaim, state: "done" | "released", now: number): void {
    if (own.fetch !== undefined) this.#giveBack(own.fetch.rows);
    delete own.fetch;
    this.#own = this.#own.filter((o) => o !== own);
    this.#announcer.send(own, state, now);
  }

  #giveBack(rows: Run): void {
    if (this.#context.table.move(rows, "fetching", "free") > 0) this.#context.freed(rows);
  }

  /** When the next claim should be opened, so that it is ready when this one ends. */
  #handoverAt(own: OwnClaim, now: number): number {
    const total = this.#context.table.grid.runBytes(own.rows);
    return (
      now + claimLeftMs(own, total, this.#rate.value(now), now) - Math.max(1000, 4 * this.#context.gossipMs())
    );
  }
}
