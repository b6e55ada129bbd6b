import { type Bitfield, describeError, equalBytes, isAppError, type Logger } from "@ckmesh/core";
import { decodeDeltaHead, deltaIndexFileName } from "@ckmesh/image";
import type { VersionFiles } from "@ckmesh/store";
import { UpdateWait, type UpdateWaitEffect, type UpdateWaitEvent, WakeTimer } from "@ckmesh/swarm";
import type { ClientContext } from "../client-context.js";
import type { VersionSwarm } from "../version/version-swarm.js";

export interface AwaitedUpdateOptions {
  readonly context: Pick<ClientContext, "clock" | "origin">;
  /** The version that is fetched; its head names the previous one. */
  readonly target: Pick<VersionFiles, "signed">;
  readonly swarm: Pick<VersionSwarm, "step" | "expected">;
  /** The swarm of the previous version; undefined: it was left. */
  readonly donor: () => Pick<VersionSwarm, "step" | "holders" | "isSettled"> | undefined;
  /** Frames of the target that the previous version has not got; undefined: not known yet. */
  readonly news: () => Bitfield | undefined;
  readonly logger: Logger;
  /** Nothing is held back now. */
  readonly onReleased: () => void;
}

/**
 * Peers that hold the previous version and have not looked for a newer one yet: they are told to, and frames that a
 * delta may bring are held back for them (site swarm rule 8). How long: `UpdateWait`.
 */
export class AwaitedUpdate {
  readonly #options: AwaitedUpdateOptions;
  readonly #wait = new UpdateWait();
  readonly #abort = new AbortController();
  #asking: Promise<void> = Promise.resolve();
  readonly #wake: WakeTimer;

  constructor(options: AwaitedUpdateOptions) {
    this.#options = options;
    this.#wake = new WakeTimer(options.context.clock, () => this.look());
    this.look();
  }

  /** Frames are held back from the WAN. */
  get isHolding(): boolean {
    return this.#wait.isHolding;
  }

  /** Looks at both swarms; also done by itself, now and then. */
  look(): void {
    const donor = this.#options.donor();
    const news = this.isHolding ? this.#options.news() : undefined;
    this.#step({
      type: "look",
      holders: donor?.holders,
      isSettled: donor?.isSettled === true,
      expected: news && this.#options.swarm.expected(news),
    });
  }

  /** A peer of the previous version speaks of a newer one. */
  heard(version: number): void {
    if (version === this.#options.target.signed.head.version) this.#step({ type: "heard" });
  }

  /** Nothing is held back any more. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#step({ type: "end" });
    await this.#asking;
  }

  #step(event: UpdateWaitEvent): void {
    const { clock } = this.#options.context;
    for (const effect of this.#wait.step(event, clock.now())) this.#apply(effect);
    this.#wake.set(this.#wait.deadline());
  }

  #apply(effect: UpdateWaitEffect): void {
    const { swarm, donor, target, logger, onReleased } = this.#options;
    const { version } = target.signed.head;
    switch (effect.type) {
      case "ask":
        this.#asking = this.#ask();
        return;
      case "tell":
        logger.info({}, "peers with the previous version are told of this one");
        donor()?.step({ type: "newer", version });
        return;
      case "release":
        // Rows of an update take their time: patience with its promise begins now.
        swarm.step({ type: effect.isPromised ? "beside-came" : "tick" });
        onReleased();
        return;
    }
  }

  /** Never rejects: an origin that cannot say has none. */
  async #ask(): Promise<void> {
    const hasDelta = await this.#hasDelta();
    if (!this.#abort.signal.aborted) this.#step({ type: "answered", hasDelta });
  }

  async #hasDelta(): Promise<boolean> {
    const { context, target, logger } = this.#options;
    const { name, version, previous } = target.signed.head;
    if (previous === undefined) throw new Error("unreachable: no previous version");
    const file = deltaIndexFileName(name, version, previous.version);
    try {
      // "Only if there is none" (RFC 9110 §13.1.2): one that is there is answered with 304, without its bytes.
      const answer = await context.origin.fetchHead(file, { ifNoneMatch: "*", signal: this.#abort.signal });
      if (answer.status === "unchanged") return true;
      // Servers without that condition send the head, and some a page in place of what they have not got.
      const { head } = decodeDeltaHead(answer.bytes);
      return equalBytes(head.target.id, target.signed.id) && head.base.version === previous.version;
    } catch (err) {
      if (!isAppError(err)) throw err;
      logger.debug({ reason: describeError(err), file }, "no delta to wait for");
      return false;
    }
  }
}
