import { createHash } from "node:crypto";
import { AppError } from "@ckmesh/core";
import {
  type ControlRecord,
  checkControlTrust,
  controlFileName,
  decodeControl,
  MAX_CONTROL_BYTES,
  type SignedControl,
} from "@ckmesh/image";

/** A control record that is in force; it is served from memory. */
export interface ServedControl {
  readonly fileName: string;
  readonly bytes: Buffer;
  /** Strong, with quotes. */
  readonly etag: string;
  /** Unix seconds. */
  readonly lastModified: number;
  readonly signed: SignedControl;
}

export interface ControlCheck {
  readonly publishers: readonly Uint8Array[];
  /** Nobody on the way could have changed it. */
  readonly isPrivate: boolean;
  /** Unix ms. */
  readonly wall: number;
}

/** Hexadecimal characters of an entity tag: 160 bits. */
const TAG_LENGTH = 40;

/**
 * Checks the content of `NAME.control.index`.
 * @throws {AppError} ERR_CONTROL_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID
 */
export function checkControl(name: string, bytes: Uint8Array, check: ControlCheck): ServedControl {
  const signed = decodeControl(bytes);
  if (signed.record.name !== name) {
    throw new AppError(
      "ERR_CONTROL_INVALID",
      `it is the control record of ${signed.record.name}, not of ${name}`,
    );
  }
  checkControlTrust(signed, { publishers: check.publishers, signature: "whenConfigured" }, check.isPrivate);
  const own = Buffer.from(bytes);
  const hash = createHash("sha256").update(own).digest("hex");
  return {
    fileName: controlFileName(name),
    bytes: own,
    etag: `"${hash.slice(0, TAG_LENGTH)}-c"`,
    // A date in the future must not be sent (RFC 9110 §8.8.2.1).
    lastModified: Math.min(signed.record.createdAt, Math.floor(check.wall / 1000)),
    signed,
  };
}

/** @throws {AppError} ERR_CONTROL_INVALID */
export function requireControlSize(size: number): void {
  if (size <= MAX_CONTROL_BYTES) return;
  throw new AppError(
    "ERR_CONTROL_INVALID",
    `a control record has at most ${MAX_CONTROL_BYTES} bytes, this file ${size}`,
  );
}

/** A record as the API shows it. */
export function describeControl({ serial, createdAt, withdrawn, rollouts }: ControlRecord): object {
  return { serial, createdAt: new Date(createdAt * 1000).toISOString(), withdrawn, rollouts };
}
