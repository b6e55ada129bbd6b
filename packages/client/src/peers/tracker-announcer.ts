import { toHex } from "@ckmesh/core";
import type { TrackerLink } from "@ckmesh/net";
import type { SwarmAnnouncer, SwarmDirectory, SwarmMember } from "./swarm-directory.js";

/** Keeps the tracker told of the swarms and of what is held of each. */
export class TrackerAnnouncer implements SwarmAnnouncer {
  readonly #link: Pick<TrackerLink, "announce" | "leave">;
  #told = new Map<string, { readonly swarm: Uint8Array; have: number }>();

  constructor(link: Pick<TrackerLink, "announce" | "leave">) {
    this.#link = link;
  }

  swarmsChanged(members: readonly SwarmMember[]): void {
    const now = new Set(members.map(({ swarm }) => toHex(swarm)));
    for (const [key, { swarm }] of this.#told) {
      if (now.has(key)) continue;
      this.#link.leave(swarm);
      this.#told.delete(key);
    }
    for (const member of members) {
      if (!this.#told.has(toHex(member.swarm))) this.#announce(member);
    }
  }

  /** Now and then: the link itself repeats what it was told last. */
  refresh(directory: SwarmDirectory): void {
    for (const member of directory.members) {
      if (this.#told.get(toHex(member.swarm))?.have !== member.have().have) this.#announce(member);
    }
  }

  #announce(member: SwarmMember): void {
    const { have, rows } = member.have();
    this.#told.set(toHex(member.swarm), { swarm: member.swarm, have });
    this.#link.announce(member.swarm, have, rows);
  }
}
