import type { AppError } from "@ckmesh/core";
import type { BitsPacket } from "./packet.js";
import type { BitsReply } from "./reply.js";

/** What is uploaded, and how patiently. */
export interface UploadPlan {
  /** Of the file; at least 1. */
  readonly totalBytes: number;
  /** Length of the first fragment of a session; small where the server may already have what follows. */
  readonly firstBytes?: number;
  /** Longest fragment; default `MAX_FRAGMENT_BYTES`. */
  readonly maxFragmentBytes?: number;
  /** How long to try again without a single answer that helps; default `PATIENCE_MS`. */
  readonly patienceMs?: number;
}

/** What survives a restart of the client. */
export interface UploadRecord {
  readonly sessionId: string;
  /** The next byte that the server wanted when it last answered. */
  readonly received: number;
}

export type UploadEvent =
  | { readonly type: "reply"; readonly reply: BitsReply; readonly now: number }
  /** No answer: the connection broke, could not be made, or a time-out passed. */
  | { readonly type: "lost"; readonly error: AppError; readonly now: number }
  /** The time of a `wait` has come. */
  | { readonly type: "wake"; readonly now: number }
  /** The file is no longer what it was. */
  | { readonly type: "changed" }
  /** The user gives up: the server may forget the session. */
  | { readonly type: "cancel"; readonly now: number };

export type UploadAction =
  /** Send this, and report `reply` or `lost`. */
  | { readonly type: "send"; readonly packet: BitsPacket }
  /** Report `wake` at this monotonic time. `reason` is for the user. */
  | { readonly type: "wait"; readonly until: number; readonly reason: AppError }
  | { readonly type: "done" }
  | { readonly type: "cancelled" }
  | { readonly type: "failed"; readonly error: AppError };

/**
 * One upload at the client.
 *
 * - `pinging`: at the start, and after each loss: sets up connection and logon.
 * - `creating`, `sending`, `closing`, `cancelling`: waits for the answer to that packet.
 * - `waiting`: after a failure that may pass; `wake` pings.
 * - `ended`: done, cancelled or failed; takes no event.
 */
export interface UploadState {
  readonly phase: "pinging" | "creating" | "sending" | "closing" | "cancelling" | "waiting" | "ended";
  readonly sessionId: string | undefined;
  /** The next byte that the server wants, as far as known. */
  readonly received: number;
}

export interface UploadStep {
  readonly state: UploadState;
  readonly action: UploadAction;
}
