import type { ErrorCode } from "@ckmesh/core";
import type { FromTracker, IpAddress, ToTracker } from "@ckmesh/wire";

/** What happens to a tracker. `now` is monotonic, `wall` Unix time, both ms. */
export type TrackerEvent =
  | {
      readonly type: "opened";
      readonly connection: number;
      readonly observed: IpAddress;
      /** 16 random bytes. */
      readonly nonce: Uint8Array;
      readonly now: number;
    }
  | {
      readonly type: "message";
      readonly connection: number;
      readonly message: ToTracker;
      readonly now: number;
      readonly wall: number;
    }
  /** Bytes that are no message. */
  | { readonly type: "garbage"; readonly connection: number; readonly reason: string }
  | { readonly type: "closed"; readonly connection: number }
  /** Of the program that runs the tracker, not of a connection. */
  | { readonly type: "publish"; readonly image: string; readonly version: number }
  | { readonly type: "tick"; readonly now: number; readonly wall: number };

export type TrackerEffect =
  | { readonly type: "send"; readonly connection: number; readonly message: FromTracker }
  | { readonly type: "broadcast"; readonly connections: readonly number[]; readonly message: FromTracker }
  /** Close once what was sent has left; the machine has forgotten the connection already. */
  | { readonly type: "close"; readonly connection: number; readonly code: ErrorCode };
