import { Bitfield, seededRandom } from "@ckmesh/core";
import { type SwarmConfig, SwarmMachine } from "../src/index.js";

export const SELF = "80".repeat(32);

/**
 * A machine in 10.0.0.0/24 that takes every signature; row 0 is its index, all others are frames.
 * @param over `gate` false: it begins with the WAN closed
 */
export function trustingMachine(
  over: Partial<Pick<SwarmConfig, "rows" | "have" | "swarming" | "sections">> & {
    readonly gate?: boolean;
  } = {},
): SwarmMachine {
  const { gate = true, rows = 5, ...config } = over;
  const machine = new SwarmMachine(
    {
      versionId: new Uint8Array(32),
      peerId: SELF,
      peerClass: "wired",
      rows,
      sections: [{ lengths: Uint32Array.of(100), wanted: true }],
      hashesRows: { first: 0, count: 1 },
      have: new Bitfield(rows),
      swarming: true,
      allowLoopback: false,
      peerPort: 7650,
      random: seededRandom(1),
      epoch: 1,
      sign: (claim) => ({ ...claim, key: new Uint8Array(32), signature: new Uint8Array(64) }),
      verify: () => true,
      signPromise: (promise) => ({ ...promise, key: new Uint8Array(32), signature: new Uint8Array(64) }),
      verifyPromise: () => true,
      ...config,
    },
    0,
  );
  if (!gate) machine.step({ type: "origin-gate", open: false }, 0);
  machine.step({ type: "networks", own: ["10.0.0.0/24"], site: [] }, 0);
  return machine;
}

/** The first row alone. */
export function indexOf(rows: number): Bitfield {
  const have = new Bitfield(rows);
  have.add(0);
  return have;
}
