import { AppError, equalBytes, type Logger } from "@ckmesh/core";
import {
  type Clearance,
  type ControlRecord,
  checkControlSuccession,
  checkControlTrust,
  clearanceOf,
  decodeControl,
  emptyControl,
  lowestAllowed,
  rolloutOf,
  type SignedControl,
} from "@ckmesh/image";
import { loadControl, type StoredControl, saveControl } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import type { ClientContext } from "../client-context.js";
import { Turns } from "../image/turns.js";
import type { ControlStatus, StatusError } from "../status.js";
import { type ControlAnswer, fetchControl } from "./fetch-control.js";

const NOTHING = new Uint8Array(0);

type Context = Pick<ClientContext, "trust" | "isOriginPrivate" | "follower" | "clock"> & {
  readonly store: Pick<ClientContext["store"], "folder">;
  readonly origin: Pick<ClientContext["origin"], "fetchSmallFile">;
};

/**
 * What the publisher of an image says of its versions, as far as this machine knows it. The record that came last stays
 * in force whatever the origin says later, until it sends a newer one.
 */
export class ImageControl {
  readonly #image: string;
  readonly #context: Context;
  readonly #logger: Logger;
  #stored: StoredControl;
  #signed: SignedControl | undefined;
  #problem: StatusError | undefined;
  /** Answers of checks that overlap are taken one after the other. */
  readonly #turns = new Turns();

  private constructor(
    image: string,
    context: Context,
    logger: Logger,
    stored: StoredControl,
    signed: SignedControl | undefined,
  ) {
    this.#image = image;
    this.#context = context;
    this.#logger = logger;
    this.#stored = stored;
    this.#signed = signed;
  }

  /** Reads what is in the store; what the configured publishers would not let pass any more does not count. */
  static async open(image: string, context: Context, logger: Logger): Promise<ImageControl> {
    const stored = await loadControl(context.store.folder(image), logger);
    if (stored.bytes === undefined) return new ImageControl(image, context, logger, stored, undefined);
    try {
      // How it came was judged when it came.
      const signed = checkRecord(image, stored.bytes, context, true);
      return new ImageControl(image, context, logger, stored, signed);
    } catch (err) {
      logger.warn({ err }, "stored control record does not count any more");
      return new ImageControl(image, context, logger, { held: [] }, undefined);
    }
  }

  get record(): ControlRecord {
    return this.#signed?.record ?? emptyControl(this.#image);
  }

  /** A person at the origin watches how this version goes. */
  isRolledOut(version: number): boolean {
    return rolloutOf(this.record, version) !== undefined;
  }

  clearanceOf(version: number): Clearance {
    const { clock, follower } = this.#context;
    const now = clock.wall() / 1000;
    return clearanceOf({ record: this.record, held: this.#stored.held, follower, version, now });
  }

  isWithdrawn(version: number): boolean {
    return this.clearanceOf(version).type === "withdrawn";
  }

  /** It may be fetched. */
  mayHave(version: number): boolean {
    const { type } = this.clearanceOf(version);
    return type === "free" || type === "prefetch";
  }

  /** @see lowestAllowed */
  lowest(highest: number | undefined, verified: readonly number[]): number {
    return lowestAllowed(this.record, highest, verified);
  }

  /** Undefined: there never was a record. */
  status(): ControlStatus | undefined {
    if (this.#signed === undefined && this.#problem === undefined) return undefined;
    return {
      serial: this.record.serial,
      held: this.#stored.held,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  /**
   * Looks at the origin. A record that is there and must not be believed stops the check: nobody knows what it holds
   * back. An old one that comes again changes nothing.
   * @throws {AppError} as `fetchControl`; ERR_CONTROL_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID
   */
  async refresh(signal: AbortSignal): Promise<void> {
    const answer = await fetchControl(this.#context.origin, this.#image, this.#stored.etag, signal);
    await this.#turns.take(() => this.#take(answer));
  }

  async #take(answer: ControlAnswer): Promise<void> {
    switch (answer.type) {
      case "none":
        this.#problem = undefined;
        if (answer.isForeign)
          this.#logger.debug({}, "no control record: the server sends a page in its place");
        await this.#keep({ ...this.#stored, held: [] });
        return;
      case "unchanged":
        this.#problem = undefined;
        await this.#keep({ ...this.#stored, held: answer.held });
        return;
      case "found":
        try {
          const { isOriginPrivate } = this.#context;
          const signed = checkRecord(this.#image, answer.bytes, this.#context, isOriginPrivate);
          checkControlSuccession(this.#signed, signed);
          const { bytes, held, etag } = answer;
          await this.#keep({ bytes, held, ...(etag !== undefined && { etag }) }, signed);
          this.#problem = undefined;
        } catch (err) {
          const failure = asAppError(err);
          if (this.#problem?.message !== failure.message)
            this.#logger.error({ err: failure }, "control record refused");
          this.#problem = { code: failure.code, message: failure.message };
          if (failure.code !== "ERR_CONTROL_OUTDATED") throw failure;
        }
    }
  }

  async #keep(stored: StoredControl, signed = this.#signed): Promise<void> {
    const { serial } = this.record;
    const isSame =
      equalBytes(stored.bytes ?? NOTHING, this.#stored.bytes ?? NOTHING) &&
      stored.etag === this.#stored.etag &&
      stored.held.join() === this.#stored.held.join();
    if (isSame) return;
    await saveControl(this.#context.store.folder(this.#image), stored);
    this.#stored = stored;
    this.#signed = signed;
    if (this.record.serial !== serial)
      this.#logger.info({ serial: this.record.serial }, "control record is in force");
  }
}

/** @throws {AppError} ERR_CONTROL_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID */
function checkRecord(
  image: string,
  bytes: Uint8Array,
  { trust }: Pick<Context, "trust">,
  isPrivate: boolean,
): SignedControl {
  const signed = decodeControl(bytes);
  if (signed.record.name !== image) {
    throw new AppError(
      "ERR_CONTROL_INVALID",
      `the control record of ${image} at the origin is that of ${signed.record.name}: its files were renamed`,
    );
  }
  checkControlTrust(signed, trust, isPrivate);
  return signed;
}
