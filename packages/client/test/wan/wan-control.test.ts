import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { type LocalTime, parseTimetable } from "@ckmesh/swarm";
import { VirtualClock } from "@ckmesh/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAX_OVERRIDE_MS, WanControl, type WanSettings } from "../../src/wan/wan-control.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** A Monday, 07:59:50 UTC. */
const MONDAY = Date.UTC(2026, 0, 5, 7, 59, 50);
const utc = (wall: number): LocalTime => {
  const date = new Date(wall);
  return { day: date.getUTCDay(), minute: date.getUTCHours() * 60 + date.getUTCMinutes() };
};
const limitOf = (control: WanControl): unknown => (control.isOpen ? control.pacer.limit : "closed");

describe("use of the WAN", () => {
  let storeDir: string;
  let clock: VirtualClock;
  const opened: WanControl[] = [];

  beforeEach(() => {
    storeDir = mkdtempSync(join(tmpdir(), "ckmesh-wan-"));
    clock = new VirtualClock(MONDAY);
  });
  afterEach(async () => {
    for (const control of opened.splice(0)) await control.close();
    rmSync(storeDir, { recursive: true });
  });

  const open = async (
    settings: Partial<WanSettings> & { lines?: readonly string[] } = {},
  ): Promise<WanControl> => {
    const { budget, lines = [] } = settings;
    const control = await WanControl.open({
      settings: { budget, timetable: parseTimetable(lines) },
      storeDir,
      clock,
      logger: silentLogger,
      localTime: utc,
    });
    opened.push(control);
    return control;
  };

  it("is what the configuration says: a cap, nothing, or what others leave", async () => {
    expect(limitOf(await open({ budget: 1000 }))).toEqual({ type: "rate", bytesPerSec: 1000 });
    expect(limitOf(await open({ budget: "off" }))).toEqual({ type: "none" });
    expect(limitOf(await open())).toEqual({ type: "yield" });
    expect((await open()).status()).toEqual({ mode: "full", reason: "configuration" });
  });

  it("follows the timetable within five seconds of each edge, and tells its listeners", async () => {
    const control = await open({ budget: 1000, lines: ["mon-fri 08:00-18:00 off"] });
    const heard: boolean[] = [];
    control.subscribe((isOpen) => void heard.push(isOpen));
    expect(control.status()).toMatchObject({
      mode: "full",
      reason: "timetable",
      until: "2026-01-05T08:00:00.000Z",
    });
    clock.advance(9999);
    expect(control.isOpen).toBe(true);
    clock.advance(5000);
    expect(control.isOpen).toBe(false);
    expect(control.status()).toMatchObject({ mode: "off", until: "2026-01-05T18:00:00.000Z" });
    clock.advance(10 * HOUR);
    expect(limitOf(control)).toEqual({ type: "rate", bytesPerSec: 1000 });
    expect(heard).toEqual([false, true]);
  });

  it("obeys an edge within five seconds after sleep and after a new clock", async () => {
    const control = await open({ lines: ["mon 08:00-18:00 off"] });
    clock.sleep(HOUR);
    clock.advance(5000);
    expect(control.isOpen).toBe(false);
    clock.setWall(-2 * HOUR);
    clock.advance(5000);
    expect(control.isOpen).toBe(true);
  });

  it("halves the best rate measured when slow, below the budget, and is like full before it was measured", async () => {
    const control = await open({ budget: 1000, lines: ["daily 00:00-24:00 slow"] });
    expect(limitOf(control)).toEqual({ type: "rate", bytesPerSec: 1000 });
    for (let second = 0; second <= 6; second++) control.pacer.received(900, second * 1000);
    clock.advance(5000);
    expect(limitOf(control)).toEqual({ type: "rate", bytesPerSec: 450 });
    await control.close();
    // It is remembered.
    expect(limitOf(await open({ lines: ["daily 00:00-24:00 slow"] }))).toEqual({
      type: "rate",
      bytesPerSec: 450,
    });
  });

  it("takes a temporary order before the timetable, over a restart, until it expires", async () => {
    const lines = ["daily 00:00-24:00 off"];
    const control = await open({ lines });
    await control.override(500, 2 * HOUR);
    expect(limitOf(control)).toEqual({ type: "rate", bytesPerSec: 500 });
    expect(control.status()).toEqual({
      mode: "rate",
      reason: "override",
      until: new Date(MONDAY + 2 * HOUR).toISOString(),
      bytesPerSec: 500,
    });
    await control.close();
    const again = await open({ lines });
    expect(again.status()).toMatchObject({ mode: "rate", reason: "override" });
    clock.sleep(2 * HOUR - 1000);
    clock.advance(5000);
    expect(again.status()).toEqual({ mode: "off", reason: "timetable" });
    await again.close();
    expect((await open({ lines })).isOpen).toBe(false);
  });

  it("ends a temporary order when told, and lets none outlive a week when the clock goes back", async () => {
    const control = await open({ budget: "off" });
    await control.override("off", HOUR);
    expect(control.isOpen).toBe(false);
    await control.override(undefined, 0);
    expect(limitOf(control)).toEqual({ type: "none" });
    await control.override("off", 100 * DAY);
    expect(control.status().until).toBe(new Date(MONDAY + MAX_OVERRIDE_MS).toISOString());
    clock.setWall(-DAY);
    clock.advance(5000);
    expect(control.isOpen).toBe(true);
  });

  it("starts without what it remembered when that is damaged", async () => {
    writeFileSync(join(storeDir, "wan.json"), '{"best":-1,"override":{"mode":"rate","until":1}}');
    expect((await open()).status()).toEqual({ mode: "full", reason: "configuration" });
  });
});
