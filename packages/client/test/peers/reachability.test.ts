import { describe, expect, it } from "vitest";
import { Reachability } from "../../src/peers/reachability.js";

const MINUTE = 60_000;

describe("Reachability", () => {
  it("is silent while there are few peers, or there was little time", () => {
    const few = new Reachability();
    for (let i = 0; i < 3; i += 1) few.linked({ inbound: false }, i);
    expect(few.state(60 * MINUTE)).toBeUndefined();
    few.linked({ inbound: false }, MINUTE);
    expect(few.state(10 * MINUTE - 1)).toBeUndefined();
  });

  it("notices that nobody connects though peers are there, and that one does", () => {
    const reachability = new Reachability();
    for (let i = 0; i < 9; i += 1) reachability.linked({ inbound: false }, MINUTE + i);
    expect(reachability.state(11 * MINUTE)).toBe("none");
    reachability.linked({ inbound: true }, 12 * MINUTE);
    expect(reachability.state(12 * MINUTE)).toBe("seen");
  });
});
