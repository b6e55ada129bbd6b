import type { AppError } from "@ckmesh/core";
import type { FragmentSize } from "./fragment-size.js";
import type { Fragment } from "./packet.js";
import type { UploadAction } from "./upload-messages.js";

/**
 * One upload at the client ([MC-BUP] 3.1).
 *
 * - `pinging`: at the start, and after each failure: sets up connection and logon with an empty packet.
 * - `creating`, `sending`, `closing`, `cancelling`: waits for the answer to that packet.
 * - `waiting`: after a failure that may pass; `wake` pings.
 * - `ended`: done, cancelled or failed; takes no event.
 */
export interface UploadState {
  readonly phase: "pinging" | "creating" | "sending" | "closing" | "cancelling" | "waiting" | "ended";
  readonly sessionId: string | undefined;
  /** The next byte that the server wants, as far as known. */
  readonly received: number;
  /** The next run of bytes that the server cannot find by itself, both inclusive; undefined: all that follow. */
  readonly missing: readonly [number, number] | undefined;
  readonly size: FragmentSize;
  /** The server may be ahead of `received`: after a loss, and at the start from a record. */
  readonly isProbe: boolean;
  /** While `sending`. */
  readonly sent: { readonly fragment: Fragment; readonly at: number } | undefined;
  /** The server answered once in this run. */
  readonly isHeard: boolean;
  readonly sessionsLost: number;
  /** Of `received`, in this session. */
  readonly highest: number;
  readonly staleAnswers: number;
  /** In a row. */
  readonly failures: number;
  /** Of the first of them, monotonic ms. */
  readonly failingSince: number;
  /** The upload is given up: with an error, or because the user wants so. */
  readonly givenUp: { readonly error?: AppError; readonly tries: number } | undefined;
}

export interface UploadStep {
  readonly state: UploadState;
  readonly action: UploadAction;
}
