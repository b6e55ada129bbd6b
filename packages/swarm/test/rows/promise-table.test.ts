import type { Run } from "@ckmesh/core";
import type { RowPromise } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import {
  BAR_MS,
  MAX_PROMISES,
  PROMISE_MS,
  PROMISE_STEP_ROWS,
  PROMISE_WORD_INTERVAL_MS,
  PROMISE_WORD_MS,
  PROMISE_WORDS_MS,
} from "../../src/constants.js";
import { PromiseTable } from "../../src/rows/promise-table.js";

const LIAR = "aa".repeat(32);
const promise = (epoch: number, runs: readonly Run[], promiser = LIAR): RowPromise => ({
  runs,
  promiser,
  epoch,
  key: new Uint8Array(32),
  signature: new Uint8Array(64),
});
const rows = (first: number, count: number): Run[] => [{ first, count }];
const linked = (): boolean => true;
const unlinked = (): boolean => false;
const nowhere = (): boolean => false;

function table(): PromiseTable {
  const made = new PromiseTable(1000);
  made.framesKnown(0);
  return made;
}

/** It is said again and again, and every so often as many rows come as must: until when it stood, ms. */
function stoodUntil(t: PromiseTable, stepMs: number): number {
  let [epoch, came] = [1, 0];
  t.add(promise(epoch, rows(0, 1000)), 0);
  for (let now = 0; ; now += PROMISE_WORD_INTERVAL_MS) {
    if (t.expire(now, nowhere, linked)) return now;
    t.add(promise(++epoch, rows(0, 1000)), now);
    if (now === 0 || now % stepMs !== 0) continue;
    t.came(rows(came, PROMISE_STEP_ROWS), now);
    came += PROMISE_STEP_ROWS;
  }
}

describe("PromiseTable", () => {
  it("knows what is promised until it is taken back", () => {
    const t = table();
    expect(t.add(promise(1, rows(10, 5)), 0)).toBe("new");
    expect([9, 10, 14, 15].map((row) => t.isPromised(row))).toEqual([false, true, true, false]);
    expect(t.add(promise(2, []), 1)).toBe("new");
    expect(t.isPromised(10)).toBe(false);
  });

  it("takes neither a repeat nor an older promise", () => {
    const t = table();
    t.add(promise(5, rows(0, 1)), 0);
    expect(t.add(promise(5, rows(0, 1)), 0)).toBe("repeat");
    expect(t.add(promise(4, rows(0, 9)), 0)).toBe("stale");
  });

  it("takes a replay of a void promise for what it is", () => {
    const t = table();
    t.add(promise(5, rows(0, 100)), 0);
    expect(t.expire(PROMISE_MS, nowhere, unlinked)).toBe(true);
    expect(t.add(promise(5, rows(0, 100)), PROMISE_MS)).toBe("repeat");
    expect(t.isPromised(0)).toBe(false);
  });

  it("hears a peer again that has come back with its old promise", () => {
    const t = table();
    t.add(promise(5, rows(0, 100)), 0);
    expect(t.drop(LIAR)).toBe(true);
    expect(t.isPromised(0)).toBe(false);
    expect(t.add(promise(5, rows(0, 100)), 1)).toBe("new");
  });

  it(`holds ${MAX_PROMISES} promises and no more`, () => {
    const t = table();
    for (let i = 0; i < MAX_PROMISES; i++) expect(t.add(promise(1, rows(0, 1), `peer${i}`), 0)).toBe("new");
    expect(t.add(promise(1, rows(0, 1), "one more"), 0)).toBe("excess");
  });

  it("gives more time whenever enough of the rows have come", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    t.came(rows(0, PROMISE_STEP_ROWS), PROMISE_MS - 1);
    expect(t.expire(PROMISE_MS, nowhere, linked)).toBe(false);
    expect(t.isPromised(50)).toBe(true);
    expect(t.deadline()).toBe(2 * PROMISE_MS - 1);
  });

  it("gives no more time for a few rows", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    t.came(rows(0, PROMISE_STEP_ROWS - 1), PROMISE_MS - 1);
    expect(t.expire(PROMISE_MS, nowhere, linked)).toBe(true);
  });

  it("takes the same rows once more for the word that they are worked on, for a minute and a half", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    expect(t.add(promise(2, rows(0, 100)), PROMISE_MS - 1)).toBe("word");
    expect(t.deadline()).toBe(2 * PROMISE_MS - 1);
    expect(stoodUntil(table(), Number.POSITIVE_INFINITY)).toBe(PROMISE_WORD_MS);
  });

  it("waits on the word as long again after each row", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    t.came(rows(0, 1), 10_000);
    for (let epoch = 2; epoch * PROMISE_WORD_INTERVAL_MS < PROMISE_WORD_MS; epoch++)
      t.add(promise(epoch, rows(0, 100)), epoch * PROMISE_WORD_INTERVAL_MS);
    t.add(promise(1000, rows(0, 100)), PROMISE_WORD_MS);
    expect(t.deadline()).toBe(PROMISE_WORD_MS + 10_000);
  });

  it("knows which rows have come when a promise is said again", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    t.came(rows(0, 20), 1);
    t.add(promise(2, rows(0, 100)), 2);
    expect([19, 20].map((row) => t.isPromised(row))).toEqual([false, true]);
  });

  it("waits on the word of one peer for half an hour in all, beyond what anybody is waited for", () => {
    const stepMs = 60_000;
    const steps = PROMISE_WORDS_MS / (stepMs - PROMISE_MS);
    expect(stoodUntil(table(), stepMs)).toBe(steps * stepMs);
  });

  it("no more waits on the word of who was waited for in vain", () => {
    const t = table();
    const start = stoodUntil(t, Number.POSITIVE_INFINITY) + BAR_MS;
    t.add(promise(1000, rows(0, 100)), start);
    t.add(promise(1001, rows(0, 100)), start + PROMISE_WORD_INTERVAL_MS);
    expect(t.deadline()).toBe(start + PROMISE_MS);
  });

  it("bars a connected peer that broke its word for ten minutes", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    t.expire(PROMISE_MS, nowhere, linked);
    expect(t.add(promise(2, rows(0, 100)), PROMISE_MS + BAR_MS - 1)).toBe("excess");
    expect(t.add(promise(3, rows(0, 100)), PROMISE_MS + BAR_MS)).toBe("new");
  });

  it("forgives a distant peer twice", () => {
    const t = table();
    const news = [1, 2, 3, 4].map((epoch) => {
      const answer = t.add(promise(epoch, rows(0, 100)), epoch * PROMISE_MS);
      t.expire((epoch + 1) * PROMISE_MS, nowhere, unlinked);
      return answer;
    });
    expect(news).toEqual(["new", "new", "new", "excess"]);
  });

  it("owes nothing once all its rows are there, whoever brought them", () => {
    const t = table();
    t.add(promise(1, rows(0, 100)), 0);
    t.expire(PROMISE_MS, () => true, linked);
    expect(t.add(promise(2, rows(100, 1)), PROMISE_MS)).toBe("new");
  });

  it("bars who takes promises back again and again without a row", () => {
    const t = table();
    const news = [1, 2, 3, 4, 5, 6, 7].map((epoch) =>
      t.add(promise(epoch, epoch % 2 === 1 ? rows(0, 100) : []), epoch),
    );
    expect(news.at(-1)).toBe("excess");
  });

  it("blames nobody before the frame table is known", () => {
    const t = new PromiseTable(1000);
    t.add(promise(1, rows(0, 100)), 0);
    t.expire(PROMISE_MS, nowhere, linked);
    expect(t.add(promise(2, rows(0, 100)), PROMISE_MS)).toBe("new");
  });
});
