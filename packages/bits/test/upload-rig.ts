import { AppError, type Random, seededRandom } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import {
  type BitsPacket,
  type BitsReply,
  beginUpload,
  HRESULT,
  type RefusedReply,
  stepUpload,
  type UploadAction,
  type UploadEvent,
  type UploadPlan,
  type UploadRecord,
  type UploadState,
} from "../src/index.js";

export const PLAN: UploadPlan = { totalBytes: 1_000_000, host: "origin.example.net" };
export const SESSION = "{0B6CF2A0-1D52-4D39-A1B4-3C0C9A2F77E1}";

/** A refusal that says that the session is unknown. */
export const SESSION_GONE = { hresult: HRESULT.sessionNotFound };

/** An upload machine on a virtual clock, moved step by step. */
export class UploadRig {
  readonly clock = new VirtualClock();
  readonly plan: UploadPlan;
  readonly #random: Random;
  state: UploadState;
  action: UploadAction;

  constructor(plan: UploadPlan = PLAN, record?: UploadRecord, random: Random = seededRandom(1)) {
    this.plan = plan;
    this.#random = random;
    ({ state: this.state, action: this.action } = beginUpload(plan, record));
  }

  /** What is to be sent now. */
  get packet(): BitsPacket | undefined {
    return this.action.type === "send" ? this.action.packet : undefined;
  }

  reply(reply: BitsReply, tookMs = 100): this {
    this.clock.advance(tookMs);
    return this.#step({ type: "reply", reply, now: this.clock.now() });
  }

  ack(): this {
    return this.reply({ type: "ack" });
  }

  created(sessionId = SESSION): this {
    return this.reply({ type: "created", sessionId });
  }

  received(received: number, tookMs = 100): this {
    return this.reply({ type: "received", received }, tookMs);
  }

  refused(status: number, more: Partial<RefusedReply> = {}): this {
    return this.reply({ type: "refused", status, ...more });
  }

  lost(code: ConstructorParameters<typeof AppError>[0] = "ERR_ORIGIN_UNREACHABLE"): this {
    return this.#step({ type: "lost", error: new AppError(code, "lost"), now: this.clock.now() });
  }

  /** Sleeps until the wait is over; returns its length in ms. */
  wait(): number {
    if (this.action.type !== "wait") throw new Error(`no wait but ${JSON.stringify(this.action)}`);
    const ms = this.action.until - this.clock.now();
    this.clock.advance(ms);
    this.#step({ type: "wake", now: this.clock.now() });
    return ms;
  }

  give(type: "cancel" | "changed"): this {
    return this.#step({ type, now: this.clock.now() });
  }

  #step(event: UploadEvent): this {
    ({ state: this.state, action: this.action } = stepUpload(this.plan, this.state, event, this.#random));
    return this;
  }
}

/** First and last byte of the fragment to be sent now. */
export function rangeOf({ packet }: UploadRig): readonly [number, number] | undefined {
  return packet?.type === "fragment" ? [packet.fragment.first, packet.fragment.last] : undefined;
}

/** With a session, and its first fragment to be sent. */
export function sendingRig(plan: UploadPlan = PLAN): UploadRig {
  return new UploadRig(plan).ack().created();
}
