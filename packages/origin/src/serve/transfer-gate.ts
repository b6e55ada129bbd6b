import type { ServerResponse } from "node:http";
import type { Clock, Metrics, Random } from "@ckmesh/core";
import {
  FairQueue,
  type FairQueueEffect,
  type FairQueueLimits,
  type RefusalReason,
  type TransferId,
  type TransferPlace,
} from "@ckmesh/swarm";
import { RequestError } from "../listener/http-failure.js";

export interface TransferGateOptions {
  readonly limits: FairQueueLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
}

interface Waiter {
  readonly admit: () => void;
  readonly refuse: (err: RequestError) => void;
}

/** Carries out what `FairQueue` decides: answers wait here for their turn. */
export class TransferGate {
  readonly #clock: Clock;
  readonly #queue: FairQueue;
  readonly #waiters = new Map<TransferId, Waiter>();
  readonly #activeGauge;
  readonly #waitingGauge;
  readonly #refused;
  #lastId: TransferId = 0;
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;

  constructor({ limits, clock, random, metrics }: TransferGateOptions) {
    this.#clock = clock;
    this.#queue = new FairQueue(limits, random);
    this.#activeGauge = metrics.gauge("ckmesh_origin_transfers", "File transfers under way");
    this.#waitingGauge = metrics.gauge(
      "ckmesh_origin_transfers_waiting",
      "File transfers that wait for their turn",
    );
    this.#refused = metrics.counter(
      "ckmesh_origin_transfers_refused_total",
      "File transfers refused: the site uses its share (429), or the origin is full (503)",
      ["reason"],
    );
  }

  /**
   * Waits for the turn of an answer.
   * @returns gives the place back; undefined: the client went away meanwhile
   * @throws {RequestError} ERR_RATE_LIMITED, ERR_ORIGIN_BUSY with Retry-After
   */
  async enter(place: TransferPlace, response: ServerResponse): Promise<(() => void) | undefined> {
    if (response.destroyed) return undefined;
    const id = (this.#lastId += 1);
    const leave = (): void =>
      this.#step(this.#queue.step({ type: "leave", transfer: id }, this.#clock.now()));
    const effects = this.#queue.step({ type: "arrive", transfer: id, place }, this.#clock.now());
    const [first] = effects;
    if (first?.type === "admit") {
      this.#activeGauge.set(this.#queue.active);
      return leave;
    }
    let isGone = false;
    const gone = (): void => {
      isGone = true;
      leave();
      this.#waiters.get(id)?.admit();
    };
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiters.set(id, { admit: resolve, refuse: reject });
        response.once("close", gone);
        this.#step(effects);
      });
    } finally {
      this.#waiters.delete(id);
      response.off("close", gone);
    }
    return isGone ? undefined : leave;
  }

  #step(effects: readonly FairQueueEffect[]): void {
    for (const effect of effects) {
      const waiter = this.#waiters.get(effect.transfer);
      switch (effect.type) {
        case "admit":
          waiter?.admit();
          break;
        case "refuse":
          this.#refused.add(1, { reason: effect.reason });
          waiter?.refuse(refusal(effect.reason, effect.retryMs));
          break;
      }
    }
    this.#activeGauge.set(this.#queue.active);
    this.#waitingGauge.set(this.#queue.waiting);
    this.#arm();
  }

  #arm(): void {
    const at = this.#queue.deadline();
    if (at === this.#timer?.at) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (at === undefined) return;
    const cancel = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#timer = undefined;
      this.#step(this.#queue.step({ type: "tick" }, this.#clock.now()));
    });
    this.#timer = { at, cancel };
  }
}

function refusal(reason: RefusalReason, retryMs: number): RequestError {
  const headers = { "Retry-After": String(Math.ceil(retryMs / 1000)) };
  return reason === "site"
    ? new RequestError("ERR_RATE_LIMITED", "this site uses its share of the origin already", { headers })
    : new RequestError("ERR_ORIGIN_BUSY", "the origin serves as many transfers as it may", { headers });
}
