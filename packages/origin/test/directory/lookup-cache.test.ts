import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { LookupCache } from "../../src/directory/lookup-cache.js";

describe("LookupCache", () => {
  it("remembers what was found for longer than what was missing, and asks anew at the end of the time", async () => {
    const { cache, clock, asked, load } = make();
    await cache.get("found", load("x"));
    await cache.get("missing", load(undefined));
    clock.advance(999);
    await cache.get("missing", load(undefined));
    expect(asked()).toBe(2);
    clock.advance(1);
    await cache.get("missing", load(undefined));
    expect(await cache.get("found", load("other"))).toBe("x");
    expect(asked()).toBe(3);
    clock.advance(9000);
    expect(await cache.get("found", load("other"))).toBe("other");
  });

  it("asks once for the same question at the same time, and remembers no failure", async () => {
    const { cache, asked, load } = make();
    expect(await Promise.all([1, 2, 3].map(() => cache.get("a", load("x"))))).toEqual(["x", "x", "x"]);
    expect(asked()).toBe(1);
    await expect(cache.get("b", () => Promise.reject(new Error("down")))).rejects.toThrow("down");
    expect(await cache.get("b", load("y"))).toBe("y");
  });

  it("forgets the oldest answer when it is full", async () => {
    const { cache, asked, load } = make();
    for (const key of ["a", "b", "c", "d"]) await cache.get(key, load(key));
    expect(cache.size).toBe(3);
    await cache.get("d", load("d"));
    await cache.get("b", load("b"));
    expect(asked()).toBe(4);
    await cache.get("a", load("a"));
    expect(asked()).toBe(5);
  });
});

function make() {
  const clock = new VirtualClock();
  let asked = 0;
  return {
    clock,
    cache: new LookupCache<string>({ foundMs: 10_000, missingMs: 1000, maxEntries: 3, clock }),
    asked: () => asked,
    load: (value: string | undefined) => () => {
      asked += 1;
      return Promise.resolve(value);
    },
  };
}
