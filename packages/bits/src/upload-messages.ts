import type { AppError } from "@ckmesh/core";
import type { BitsPacket } from "./packet.js";
import type { BitsReply } from "./reply.js";

/** What is uploaded, and how patiently. */
export interface UploadPlan {
  /** Of the file; at least 1. */
  readonly totalBytes: number;
  /** Name or address of the server, as the URL has it. */
  readonly host: string;
  /** Length of the first fragment of a session; small where the server may already have what follows. */
  readonly firstBytes?: number;
  /** Default `MAX_FRAGMENT_BYTES`. */
  readonly maxFragmentBytes?: number;
  /** How long to try again without an answer that helps, in ms; default `PATIENCE_MS`. */
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
  /** No reply: no connection, a broken one, a time-out, or an answer that is no Ack. */
  | { readonly type: "lost"; readonly error: AppError; readonly now: number }
  /** The time of a `wait` has come. */
  | { readonly type: "wake"; readonly now: number }
  /** The file is no longer what it was. What is on its way is given up. */
  | { readonly type: "changed"; readonly now: number }
  /** The user no longer wants it. What is on its way is given up. */
  | { readonly type: "cancel"; readonly now: number };

export type UploadAction =
  /** Send this; report `reply` or `lost`. */
  | { readonly type: "send"; readonly packet: BitsPacket }
  /** Report `wake` at this monotonic time, in ms. `reason` is for the user. */
  | { readonly type: "wait"; readonly until: number; readonly reason: AppError }
  /** The server has closed the session: it has the whole file. */
  | { readonly type: "done" }
  | { readonly type: "cancelled" }
  | { readonly type: "failed"; readonly error: AppError };
