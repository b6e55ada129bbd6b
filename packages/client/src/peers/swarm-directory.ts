import { toHex } from "@ckmesh/core";
import type { CandidateSource, SwarmEvent } from "@ckmesh/swarm";
import type { PeerAddress } from "@ckmesh/wire";

/** One swarm that this client is in. */
export interface SwarmMember {
  /** Public id of the swarm, 32 bytes. */
  readonly swarm: Uint8Array;
  /** Rows held and rows in all. */
  have(): { readonly have: number; readonly rows: number };
  step(event: SwarmEvent): void;
}

/** Who announces swarms: tracker link, LAN announcer. Told of every change. */
export interface SwarmAnnouncer {
  swarmsChanged(members: readonly SwarmMember[]): void;
}

/** The swarms of all versions: hands found addresses to the right one, and tells the announcers what there is. */
export class SwarmDirectory {
  readonly #members = new Map<string, SwarmMember>();
  readonly #announcers: SwarmAnnouncer[] = [];
  #networks: { readonly own: readonly string[]; readonly site: readonly string[] } = { own: [], site: [] };
  #remembered: readonly PeerAddress[] = [];

  get members(): readonly SwarmMember[] {
    return [...this.#members.values()];
  }

  addAnnouncer(announcer: SwarmAnnouncer): void {
    this.#announcers.push(announcer);
    announcer.swarmsChanged(this.members);
  }

  /** @returns removes it again */
  add(member: SwarmMember): () => void {
    const key = toHex(member.swarm);
    this.#members.set(key, member);
    member.step({ type: "networks", ...this.#networks });
    if (this.#remembered.length > 0) {
      member.step({ type: "candidates", source: "memory", peers: this.#remembered });
    }
    this.#changed();
    return () => {
      if (this.#members.get(key) !== member) return;
      this.#members.delete(key);
      this.#changed();
    };
  }

  /** Addresses found for a swarm; those of unknown swarms are dropped. */
  found(swarm: Uint8Array, source: CandidateSource, peers: readonly PeerAddress[], complete = false): void {
    this.#members.get(toHex(swarm))?.step({ type: "candidates", source, peers, complete });
  }

  /** Addresses of earlier runs: tried for every swarm. */
  setRemembered(peers: readonly PeerAddress[]): void {
    this.#remembered = peers;
    if (peers.length === 0) return;
    for (const member of this.#members.values()) member.step({ type: "candidates", source: "memory", peers });
  }

  /** The same with those of this run: tried for swarms that are entered from now on. */
  noteRemembered(peers: readonly PeerAddress[]): void {
    this.#remembered = peers;
  }

  setNetworks(own: readonly string[], site: readonly string[]): void {
    this.#networks = { own, site };
    for (const member of this.#members.values()) member.step({ type: "networks", own, site });
  }

  #changed(): void {
    for (const announcer of this.#announcers) announcer.swarmsChanged(this.members);
  }
}
