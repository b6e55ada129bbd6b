import { type Random, type Run, randomInt } from "@ckmesh/core";
import {
  DISTRUST_MS,
  EMPTY_TURN_MS,
  ENDGAME_MS,
  INTEREST_MS,
  LOOK_MS,
  MAX_ASKED,
  MAX_EMPTY_TIMEOUTS,
  MAX_EMPTY_TURNS,
  MAX_REFUSALS,
  MAX_TIMEOUTS,
  ONLY_SAMPLE,
  PICK_SAMPLE,
} from "../constants.js";
import { byUse, type Candidate, DataLinks } from "../links/data-links.js";
import type { Link } from "../links/link.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import type { RowTable } from "./row-table.js";

/**
 * Which rows to ask of which peer (site swarm rule 15): index rows first, then the rarest of a sample, then
 * the rows beside them; in the endgame an old request may go to a second peer.
 */
export class RequestPicker {
  readonly #table: RowTable;
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #random: Random;
  readonly #emit: (effect: SwarmEffect) => void;
  /** Links of which something changed that may make a request possible. */
  readonly #changed = new Set<Link>();
  /** Links that did not keep what they offered. */
  readonly #slow = new Set<Link>();
  /** Links that rows are asked of, and those that offer some while there is no place for them. */
  readonly #sources = new DataLinks();
  readonly #waiting = new Set<Link>();
  /** When all links are looked at again, changed or not. */
  #lookAt = 0;
  readonly #tellsAsked: boolean;

  /** @param tellsAsked whether another swarm has the same rows and is told what is asked here */
  constructor(
    table: RowTable,
    links: ReadonlyMap<LinkId, Link>,
    random: Random,
    emit: (effect: SwarmEffect) => void,
    tellsAsked: boolean,
  ) {
    this.#tellsAsked = tellsAsked;
    this.#table = table;
    this.#links = links;
    this.#random = random;
    this.#emit = emit;
  }

  /** Rows came on offer at a peer. */
  offered(link: Link, run: Run): void {
    const { grid } = this.#table;
    this.#changed.add(link);
    const end = Math.min(run.first + run.count, grid.knownRows);
    for (let row = run.first; row < end; ) {
      const span = grid.spanOf(row);
      if (this.#table.freeIn(span) > 0) link.spans.add(span);
      const rows = grid.rowsOf(span);
      row = rows.first + rows.count;
    }
  }

  /** All that a peer offers is looked at again: its rows may be free now. */
  offerAll(link: Link): void {
    for (const run of link.bits.runs(true, 0, this.#table.grid.knownRows)) this.offered(link, run);
  }

  /** The same for all peers. */
  offerAllOf(): void {
    for (const link of this.#links.values()) this.offerAll(link);
  }

  /** Rows became free again: whoever offers them may be asked. */
  freed(run: Run): void {
    for (const link of this.#links.values()) {
      if (link.bits.next(run.first, true) < run.first + run.count) this.offered(link, run);
    }
  }

  /** True if a connected peer offers the row. */
  isOffered(row: number): boolean {
    for (const link of this.#links.values()) if (link.bits.has(row)) return true;
    return false;
  }

  /**
   * Fills the windows of links of which something changed, now and then of all. With hundreds of messages a
   * second, looking at every link each time was most of the machine's work.
   * @returns the links that too often did not keep what they offered
   */
  run(now: number): Link[] {
    if (now >= this.#lookAt) {
      this.#expire(now);
      for (const link of this.#review(now)) this.#changed.add(link);
      for (const link of this.#links.values()) this.#changed.add(link);
      // A complete machine has nothing to ask: this last look takes its interest back.
      this.#lookAt = this.#table.isComplete ? Number.POSITIVE_INFINITY : now + LOOK_MS;
    }
    for (const link of this.#changed) {
      this.#changed.delete(link);
      if (this.#links.get(link.id) === link) this.#fill(link, now);
    }
    const slow = [...this.#slow];
    this.#slow.clear();
    return slow;
  }

  /** When `run` next has something to do, if no event comes before. */
  deadline(): number {
    return this.#changed.size > 0 ? 0 : this.#lookAt;
  }

  /** Rows are wanted again by a machine that was complete. */
  lookAgain(): void {
    this.#lookAt = 0;
  }

  #fill(link: Link, now: number): void {
    this.#forgive(link, now);
    const wants = this.#table.missing > 0 && (link.asked.size > 0 || this.#wantsAny(link));
    const isSource = wants && this.#sources.admits(link, now);
    if (!wants) this.#leave(link);
    if (wants && !this.#sources.has(link)) this.#waiting.add(link);
    else this.#waiting.delete(link);
    this.#tellInterest(link, isSource || link.asked.size > 0, now);
    while (link.isUnchoked && link.askedBytes < link.window && link.asked.size < MAX_ASKED) {
      const run = (isSource ? this.#pick(link) : undefined) ?? this.#pickAgain(link, now);
      if (run === undefined || !this.#sources.admits(link, now)) break;
      this.#ask(link, run, now);
    }
  }

  /** The link is no source any more: whoever waits for its place is looked at. */
  #leave(link: Link): void {
    if (!this.#sources.has(link)) return;
    this.#sources.release(link);
    for (const other of this.#waiting) this.#changed.add(other);
  }

  /** Which sources give way. Returns who waits for a place, best first. */
  #review(now: number): Link[] {
    const candidates: Candidate[] = [];
    for (const link of this.#waiting)
      if (this.#wantsAny(link)) candidates.push({ link, isOnly: this.#isOnly(link) });
    candidates.sort(byUse);
    const gone = this.#sources.review(candidates, now);
    return [...candidates.map(({ link }) => link), ...gone];
  }

  /** True if a sample shows a wanted row that no source offers. */
  #isOnly(link: Link): boolean {
    const start = link.spans.size === 0 ? 0 : randomInt(this.#random, link.spans.size);
    for (let i = 0; i < Math.min(ONLY_SAMPLE, link.spans.size); i++) {
      const span = link.spans.at((start + i) % link.spans.size) ?? 0;
      const row = this.#freeRun(link, span)?.first;
      if (row !== undefined && !this.#sources.offer(row)) return true;
    }
    return false;
  }

  /** The link has gone. */
  gone(link: Link): void {
    this.release(link);
    this.#waiting.delete(link);
    this.#leave(link);
  }

  /** Takes back requests that nobody answered. */
  #expire(now: number): void {
    for (const link of this.#links.values()) {
      if (link.asked.size === 0 || now - link.lastAnswerAt < link.patienceMs) continue;
      link.timeouts += 1;
      link.lastAnswerAt = now;
      link.rate = 0;
      // Who never delivered anything may have nothing: all that it offers is in doubt.
      if (!link.hasDelivered) for (const run of link.bits.runs()) this.#distrust(link, run, now);
      for (const asked of link.asked.values()) {
        this.#emit({
          type: "send",
          link: link.id,
          message: { type: "cancel", row: asked.run.first, length: asked.bytes },
        });
        this.#distrust(link, asked.run, now);
      }
      this.release(link);
      if (link.timeouts >= (link.hasDelivered ? MAX_TIMEOUTS : MAX_EMPTY_TIMEOUTS)) this.#slow.add(link);
    }
  }

  /** The peer serves us from now on. */
  unchoked(link: Link): void {
    link.isUnchoked = true;
    this.#changed.add(link);
  }

  /** The peer stops serving us; what was asked comes back as refusals. */
  choked(link: Link, now: number): void {
    // Who sent rows a moment ago is busy, not a miser.
    const isEmpty = now - link.deliveredAt >= EMPTY_TURN_MS;
    if (link.isUnchoked && link.asked.size > 0 && isEmpty) link.emptyTurns += 1;
    if (link.emptyTurns >= MAX_EMPTY_TURNS) this.#slow.add(link);
    link.isUnchoked = false;
  }

  /** Gives up all that was asked of a peer. */
  release(link: Link): void {
    for (const row of link.asked.keys()) this.unask(link, row);
  }

  /** A request will not be answered: its rows are free again unless somebody else was asked too. */
  unask(link: Link, row: number): Run | undefined {
    const asked = link.settle(row);
    if (asked === undefined) return undefined;
    this.#changed.add(link);
    for (let at = asked.run.first; at < asked.run.first + asked.run.count; at++) {
      const single = { first: at, count: 1 };
      if (this.#isAskedElsewhere(link, at) || this.#table.move(single, "asked", "free") === 0) continue;
      if (this.#tellsAsked) this.#emit({ type: "asked", rows: single, isAsked: false });
      this.freed(single);
    }
    return asked.run;
  }

  /** Rows arrived from elsewhere: nobody else need send them. */
  withdraw(link: Link, row: number): void {
    for (const other of this.#links.values()) {
      const asked = other === link ? undefined : other.settle(row);
      if (asked === undefined) continue;
      this.#changed.add(other);
      this.#emit({ type: "send", link: other.id, message: { type: "cancel", row, length: asked.bytes } });
    }
  }

  /** The peer refused a request: it does not offer those rows. */
  rejected(link: Link, row: number, now: number): void {
    const run = this.unask(link, row);
    if (run === undefined || !link.isUnchoked) return;
    link.refusals += 1;
    if (link.refusals >= MAX_REFUSALS) this.#slow.add(link);
    this.#distrust(link, run, now);
  }

  #ask(link: Link, run: Run, now: number): void {
    const length = this.#table.grid.runBytes(run);
    this.#table.move(run, "free", "asked");
    link.ask(run, length, now);
    if (this.#tellsAsked) this.#emit({ type: "asked", rows: run, isAsked: true });
    this.#emit({ type: "send", link: link.id, message: { type: "request", row: run.first, length } });
  }

  /** Interest is kept for a moment when nothing is free: new rows come all the time while a span arrives. */
  #tellInterest(link: Link, wants: boolean, now: number): void {
    if (wants) link.wantedAt = now;
    const isInterested =
      wants || (this.#table.missing > 0 && link.isInterested && now - link.wantedAt < INTEREST_MS);
    if (isInterested === link.isInterested) return;
    link.isInterested = isInterested;
    this.#emit({
      type: "send",
      link: link.id,
      message: { type: isInterested ? "interested" : "not-interested" },
    });
  }

  /** True if the peer offers a free row; forgets spans where it does not. */
  #wantsAny(link: Link): boolean {
    for (;;) {
      const span = link.spans.at(0);
      if (span === undefined) return false;
      if (this.#freeRun(link, span) !== undefined) return true;
      link.spans.delete(span);
    }
  }

  #pick(link: Link): Run | undefined {
    let best: { span: number; run: Run; score: number } | undefined;
    const start = link.spans.size === 0 ? 0 : randomInt(this.#random, link.spans.size);
    for (let i = 0, seen = 0; seen < PICK_SAMPLE && i < link.spans.size; i++) {
      const at = (start + i) % link.spans.size;
      const span = link.spans.at(at) ?? 0;
      const run = this.#freeRun(link, span);
      if (run === undefined) {
        // The last item takes this place: look at the same place again.
        link.spans.delete(span);
        i -= 1;
        if (link.spans.size === 0) break;
        continue;
      }
      seen += 1;
      const score = (run.first < this.#table.pieceRows ? 0 : 1000) + this.#holders(run.first);
      if (best === undefined || score < best.score) best = { span, run, score };
    }
    return best?.run;
  }

  #freeRun(link: Link, span: number): Run | undefined {
    if (this.#table.freeIn(span) === 0) return undefined;
    return this.#table.firstFree(this.#table.grid.rowsOf(span), link.requestBytes, (row) =>
      link.bits.has(row),
    );
  }

  /** Endgame: nothing free is left, so an old request to a slower peer is sent to this one as well. */
  #pickAgain(link: Link, now: number): Run | undefined {
    if (link.asked.size > 0 || !this.#inEndgame()) return undefined;
    for (const other of this.#links.values()) {
      if (other === link) continue;
      for (const { run, at } of other.asked.values()) {
        const isOld = now - at >= ENDGAME_MS && this.#table.isAsked(run.first);
        if (isOld && link.bits.hasAll(run.first, run.count) && !this.#isAskedElsewhere(other, run.first))
          return run;
      }
    }
    return undefined;
  }

  #inEndgame(): boolean {
    return this.#table.missing > 0 && this.#table.asked >= this.#table.missing;
  }

  #isAskedElsewhere(link: Link, row: number): boolean {
    for (const other of this.#links.values()) {
      if (other === link) continue;
      for (const { run } of other.asked.values())
        if (row >= run.first && row < run.first + run.count) return true;
    }
    return false;
  }

  #holders(row: number): number {
    let holders = 0;
    for (const link of this.#links.values()) holders += Number(link.bits.has(row));
    return holders;
  }

  /** What a peer promised and did not deliver does not count as offered for a while. */
  #distrust(link: Link, run: Run, now: number): void {
    for (let row = run.first; row < run.first + run.count; row++) link.bits.delete(row);
    link.distrusted.push({ run, until: now + DISTRUST_MS });
  }

  #forgive(link: Link, now: number): void {
    while ((link.distrusted[0]?.until ?? Number.POSITIVE_INFINITY) <= now) {
      const run = link.distrusted.shift()?.run;
      if (run === undefined) return;
      for (let row = run.first; row < run.first + run.count; row++) link.bits.add(row);
      this.offered(link, run);
    }
  }
}
