import { describe, expect, it } from "vitest";
import { ConnectionGate } from "../src/connection-gate.js";

/** Enters `count` times and tells how many are in after everything settled. */
async function entered(gate: ConnectionGate, count: number): Promise<() => number> {
  let inside = 0;
  for (let i = 0; i < count; i += 1) {
    void gate.enter().then(() => {
      inside += 1;
      return inside;
    });
  }
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
  return () => inside;
}

const settle = (): Promise<void> =>
  new Promise<void>((resolve) => {
    setImmediate(resolve);
  });

describe("ConnectionGate", () => {
  it("admits its limit and the next whenever one leaves", async () => {
    const gate = new ConnectionGate(3);
    const inside = await entered(gate, 5);
    expect(inside()).toBe(3);
    gate.leave();
    await settle();
    expect(inside()).toBe(4);
  });

  it("admits one after trouble and all again once data flows", async () => {
    const gate = new ConnectionGate(3);
    gate.trouble();
    const inside = await entered(gate, 5);
    expect(inside()).toBe(1);
    gate.flowing();
    await settle();
    expect(inside()).toBe(3);
  });

  it("forgets a waiter that is aborted", async () => {
    const gate = new ConnectionGate(1);
    await gate.enter();
    const abort = new AbortController();
    const waiting = gate.enter(abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "ERR_ABORTED" });
    gate.leave();
    await gate.enter();
    await expect(gate.enter(AbortSignal.abort())).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});
