import { Bitfield } from "@ckmesh/core";
import { expect, it } from "vitest";
import type { SwarmEffect, SwarmEvent, SwarmMachine } from "../../src/index.js";
import { peerUp } from "../peer-up.js";
import { indexOf, trustingMachine } from "../trusting-machine.js";

const has = (link: number, type: "have-all" | "have-none"): SwarmEvent => ({
  type: "message",
  link,
  message: { type },
});

/** Links over which it was said that there is a newer version, and which. */
function told(effects: readonly SwarmEffect[]): string[] {
  return effects.flatMap((e) =>
    e.type === "send" && e.message.type === "newer" ? [`${e.link} ${e.message.version}`] : [],
  );
}

/** Linked with peer 1, which holds everything, and with peer 2, which holds nothing. */
function linked(): SwarmMachine {
  const machine = trustingMachine();
  for (const link of [1, 2]) machine.step(peerUp(link), 1);
  machine.step(has(1, "have-all"), 2);
  machine.step(has(2, "have-none"), 2);
  return machine;
}

it("tells each peer once that there is a newer version, those too who come later", () => {
  const machine = linked();
  expect(told(machine.step({ type: "newer", version: 7 }, 10))).toEqual(["1 7", "2 7"]);
  expect(told(machine.step({ type: "tick" }, 20))).toEqual([]);
  expect(told(machine.step(peerUp(3), 30))).toEqual(["3 7"]);
});

it("counts those who hold all of a version", () => {
  const machine = linked();
  expect(machine.holders).toBe(1);
  const rest: SwarmEvent = {
    type: "message",
    link: 2,
    message: { type: "have", runs: [{ first: 0, count: 5 }] },
  };
  machine.step(rest, 13);
  expect(machine.holders).toBe(2);
});

it("passes on what a peer says of a newer version, and believes none of it", () => {
  const machine = linked();
  const effects = machine.step({ type: "message", link: 2, message: { type: "newer", version: 9 } }, 10);
  expect(effects).toEqual([{ type: "heard-newer", version: 9, peerId: "2".padStart(64, "0") }]);
});

it("expects rows that others promise or offer", () => {
  const machine = trustingMachine({ have: indexOf(5) });
  for (const link of [1, 2]) machine.step(peerUp(link), 1);
  machine.step({ type: "message", link: 1, message: { type: "have", runs: [{ first: 1, count: 1 }] } }, 2);
  const rows = new Bitfield(5);
  rows.addRun({ first: 0, count: 4 });
  // Before it knows the frame table.
  expect(machine.expected(rows)).toEqual({ missing: 3, coming: 1 });
  machine.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 3);
  const promise = {
    runs: [{ first: 1, count: 2 }],
    promiser: peerUp(2).peerId,
    epoch: 1,
    key: new Uint8Array(32),
    signature: new Uint8Array(64),
  };
  machine.step({ type: "message", link: 2, message: { type: "promise", promise, hops: 0 } }, 4);
  expect(machine.expected(rows)).toEqual({ missing: 3, coming: 2 });
});
