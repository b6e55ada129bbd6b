/** Links dialled by this client, and time since the first, before it is worth a word that nobody came by himself. */
const MIN_DIALLED = 4;
const MIN_MS = 10 * 60_000;

/**
 * Notices that peers never connect to this client although they are there: as a rule, a firewall. Both sides of a
 * pair dial, so that whoever can be reached is, sooner or later; what it cannot tell is a client that was always first.
 */
export class Reachability {
  #dialled = 0;
  #since = 0;
  #isReached = false;

  /** A link came up, even one that is closed again as a duplicate. `now` is monotonic, ms. */
  linked(link: { readonly inbound: boolean }, now: number): void {
    if (link.inbound) this.#isReached = true;
    if (link.inbound || this.#dialled > MIN_DIALLED) return;
    if (this.#dialled === 0) this.#since = now;
    this.#dialled += 1;
  }

  /** `seen`: a peer has connected to this client · `none`: none did, though there was time · undefined: not known yet. */
  state(now: number): "seen" | "none" | undefined {
    if (this.#isReached) return "seen";
    return this.#dialled >= MIN_DIALLED && now - this.#since >= MIN_MS ? "none" : undefined;
  }
}
