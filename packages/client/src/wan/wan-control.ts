import { join } from "node:path";
import type { Clock, Logger } from "@ckmesh/core";
import {
  type LocalTime,
  modeAt,
  nextEdge,
  type Timetable,
  type WanLimit,
  type WanMode,
  WanPacer,
} from "@ckmesh/swarm";
import type { WanStatus } from "../status.js";
import type { WanCap } from "./wan-cap.js";
import { readWanMemory, type WanMemory, writeWanMemory } from "./wan-memory.js";

/** The wall clock is looked at this often: an edge is obeyed within 5 s, also after sleep or a new clock. */
const LOOK_MS = 2000;
/** A temporary order holds no longer than this, whatever became of the clock. */
export const MAX_OVERRIDE_MS = 7 * 24 * 3_600_000;
/** A best rate better by this factor is written down. */
const BETTER = 1.1;

/** What the configuration says of the WAN. */
export interface WanSettings {
  /** Bytes per second of the whole site · `off`: neither cap nor yielding · undefined: what others leave. */
  readonly budget: number | "off" | undefined;
  readonly timetable: Timetable;
}

export interface WanControlOptions {
  readonly settings: WanSettings;
  readonly storeDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a clock on the wall shows at a Unix time; tests give their own. */
  readonly localTime?: (wall: number) => LocalTime;
}

/** What counts now, and why. */
interface Order {
  readonly cap: WanCap;
  readonly reason: WanStatus["reason"];
}

/**
 * How much of the WAN all images of this client may use, now: a temporary order goes before the timetable, and
 * that before the budget of the configuration. States: open with a limit, or closed (`off`).
 */
export class WanControl {
  readonly pacer: WanPacer;
  readonly #options: WanControlOptions;
  readonly #path: string;
  readonly #localTime: (wall: number) => LocalTime;
  readonly #listeners = new Set<(isOpen: boolean) => void>();
  #memory: WanMemory;
  #isOpen = true;
  #edge: { readonly from: number; readonly at: number | undefined } | undefined;
  #cancelLook: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: WanControlOptions, path: string, memory: WanMemory) {
    this.#options = options;
    this.#path = path;
    this.#memory = memory;
    this.#localTime = options.localTime ?? localTime;
    this.pacer = new WanPacer({ type: "none" }, memory.best);
    this.#apply();
    this.#arm();
  }

  static async open(options: WanControlOptions): Promise<WanControl> {
    const path = join(options.storeDir, "wan.json");
    return new WanControl(options, path, await readWanMemory(path, options.logger));
  }

  /** False: nothing may come from the origin now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Calls `listener` whenever the limit changes. Returns how to end that. */
  subscribe(listener: (isOpen: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * A temporary order, which outlives a restart; undefined ends it.
   * @throws {AppError} ERR_STORE_FULL when it could not be written down: then it counts until the next start
   */
  async override(cap: WanCap | undefined, forMs: number): Promise<void> {
    const until = this.#options.clock.wall() + Math.min(forMs, MAX_OVERRIDE_MS);
    this.#memory = { best: this.pacer.best, ...(cap !== undefined && { override: { cap, until } }) };
    this.#apply();
    await this.#save();
  }

  status(): WanStatus {
    const { cap, reason } = this.#order();
    const { limit, best, yieldingTo } = this.pacer;
    const until = reason === "override" ? this.#memory.override?.until : this.#nextEdge();
    return {
      mode: typeof cap === "number" ? "rate" : cap,
      reason,
      ...(until !== undefined && { until: new Date(until).toISOString() }),
      ...(this.#isOpen && limit.type === "rate" && { bytesPerSec: Math.round(limit.bytesPerSec) }),
      ...(this.#isOpen && yieldingTo !== undefined && { yieldingTo: Math.round(yieldingTo) }),
      ...(best > 0 && { bestBytesPerSec: Math.round(best) }),
    };
  }

  async close(): Promise<void> {
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    await this.#writing;
  }

  #arm(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#apply();
      if (this.pacer.best > BETTER * this.#memory.best) {
        this.#memory = { ...this.#memory, best: this.pacer.best };
        this.#saveLater();
      }
      this.#arm();
    });
  }

  #apply(): void {
    const wall = this.#options.clock.wall();
    const until = this.#memory.override?.until;
    if (until !== undefined && (until <= wall || until > wall + MAX_OVERRIDE_MS)) {
      this.#memory = { best: this.#memory.best };
      this.#saveLater();
    }
    const { cap, reason } = this.#order();
    const isOpen = cap !== "off";
    const limit = this.#limitOf(cap);
    if (isOpen === this.#isOpen && isSame(limit, this.pacer.limit)) return;
    this.#isOpen = isOpen;
    this.pacer.setLimit(limit);
    const rate = limit.type === "rate" ? { bytesPerSec: Math.round(limit.bytesPerSec) } : {};
    this.#options.logger.info({ mode: cap, reason, limit: limit.type, ...rate }, "use of the WAN changed");
    for (const listener of this.#listeners) listener(isOpen);
  }

  #order(): Order {
    const { override } = this.#memory;
    if (override !== undefined) return { cap: override.cap, reason: "override" };
    const { timetable } = this.#options.settings;
    if (timetable.length === 0) return { cap: "full", reason: "configuration" };
    return { cap: this.#timetableMode(), reason: "timetable" };
  }

  #timetableMode(): WanMode {
    return modeAt(this.#options.settings.timetable, this.#localTime(this.#options.clock.wall()));
  }

  /** Slow is half of the best rate measured, never more than the budget; like full before anything was measured. */
  #limitOf(cap: WanCap): WanLimit {
    const { budget } = this.#options.settings;
    if (typeof cap === "number") return { type: "rate", bytesPerSec: cap };
    const half = cap === "slow" && this.pacer.best > 0 ? this.pacer.best / 2 : Number.POSITIVE_INFINITY;
    const most = Math.min(half, typeof budget === "number" ? budget : Number.POSITIVE_INFINITY);
    if (Number.isFinite(most)) return { type: "rate", bytesPerSec: most };
    return { type: budget === "off" ? "none" : "yield" };
  }

  #nextEdge(): number | undefined {
    const wall = this.#options.clock.wall();
    const known = this.#edge;
    const isFresh = known !== undefined && wall >= known.from && wall < (known.at ?? known.from + LOOK_MS);
    if (isFresh) return known.at;
    const at = nextEdge(this.#options.settings.timetable, wall, this.#localTime);
    this.#edge = { from: wall, at };
    return at;
  }

  #saveLater(): void {
    this.#save().catch((err: unknown) => {
      this.#options.logger.warn({ err }, "use of the WAN not written down");
    });
  }

  /** One write after the other. */
  async #save(): Promise<void> {
    const write = this.#writing.then(() => writeWanMemory(this.#path, this.#memory));
    this.#writing = write.catch(() => {}); // whoever asked for it hears of it
    await write;
  }
}

/** What a clock on the wall of this machine shows. */
function localTime(wall: number): LocalTime {
  const date = new Date(wall);
  return { day: date.getDay(), minute: date.getHours() * 60 + date.getMinutes() };
}

function isSame(a: WanLimit, b: WanLimit): boolean {
  return a.type === b.type && (a.type !== "rate" || (b.type === "rate" && a.bytesPerSec === b.bytesPerSec));
}
