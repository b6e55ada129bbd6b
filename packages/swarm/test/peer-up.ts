import type { SwarmEvent } from "../src/index.js";

type PeerUp = Extract<SwarmEvent, { type: "peer-up" }>;

/** A wired peer of 10.0.0.0/24 dialled us, over link `link`; its id follows from the number of the link. */
export function peerUp(link: number, over: Partial<PeerUp> = {}): PeerUp {
  return {
    type: "peer-up",
    link,
    peerId: link.toString(16).padStart(64, "0"),
    address: `10.0.0.${(link % 250) + 1}`,
    port: 7650,
    inbound: true,
    peerClass: "wired",
    rttMs: 1,
    ...over,
  };
}
