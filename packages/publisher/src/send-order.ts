import type { KeyObject } from "node:crypto";
import { AppError, type Clock, isAppError } from "@ckmesh/core";
import {
  type ControlRecord,
  checkControlTrust,
  emptyControl,
  encodeControl,
  publicKeyBytes,
  type SignedControl,
} from "@ckmesh/image";
import type { AdminApi } from "./admin-api.js";
import { applyOrder, type ControlOrder } from "./control-edit.js";

export interface SendOrderOptions {
  readonly place: Pick<AdminApi, "control" | "putControl">;
  /** As published. */
  readonly image: string;
  readonly order: ControlOrder;
  /** Ed25519 private keys; none: the record is not signed, and counts over TLS and without publishers only. */
  readonly signers: readonly KeyObject[];
  /** Further public keys whose records are taken over and signed anew. */
  readonly publishers: readonly Uint8Array[];
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** Others may change the record at the same time; that it happens so often in a row shows that something else is wrong. */
const MAX_TRIES = 5;

/**
 * Carries out an order: takes the record in force, changes it, signs it, puts the new one in its place. When somebody
 * else was quicker the order is carried out on theirs.
 * @returns the record that is in force now
 * @throws {AppError} ERR_SIGNATURE_INVALID when the record in force is not one to be signed; ERR_USAGE when it is
 *   signed and there is no signer, or the order makes no sense; and as `AdminApi` and `ImageFolder`
 */
export async function sendOrder(options: SendOrderOptions): Promise<ControlRecord> {
  const { place, image, order, signers, clock, signal } = options;
  for (let tries = 1; ; tries += 1) {
    // oxlint-disable-next-line no-await-in-loop -- each try looks at what the last one met
    const current = await place.control(image, signal);
    if (current !== undefined) checkCurrent(current, options);
    const record = applyOrder(current?.record ?? emptyControl(image), order, clock.wall() / 1000);
    const bytes = encodeControl(record, signers);
    try {
      await place.putControl(image, bytes, current?.record.serial ?? 0, signal); // oxlint-disable-line no-await-in-loop
      return record;
    } catch (err) {
      if (!isAppError(err, "ERR_CONTROL_OUTDATED") || tries >= MAX_TRIES) throw err;
    }
  }
}

/** Whoever signs a record stands for all that is in it: it must be theirs already, or of somebody they trust. */
function checkCurrent(current: SignedControl, { image, signers, publishers }: SendOrderOptions): void {
  if (current.record.name !== image) {
    throw new AppError(
      "ERR_CONTROL_INVALID",
      `the control record of ${image} at the origin is one of ${current.record.name}`,
    );
  }
  if (signers.length > 0) {
    const own = signers.map((key) => publicKeyBytes(key));
    checkControlTrust(current, { publishers: [...own, ...publishers], signature: "required" }, true);
  } else if (current.signatures.length > 0) {
    throw new AppError(
      "ERR_USAGE",
      `the control record of ${image} is signed: sign the next one too (--sign), else clients that know its signer refuse it`,
    );
  }
}
