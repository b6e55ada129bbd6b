import type { Rollout } from "@ckmesh/image";
import type { ControlSource } from "./control-records.js";
import type { RolloutHold } from "./rollout-watch.js";

/** Another control record of an image is in force. */
type ControlEntry = ControlSource & {
  readonly action: "control";
  readonly image: string;
  /** Null: its file was taken away, or no configured publisher signed it any more. */
  readonly serial: number | null;
  readonly withdrawn: readonly number[];
  readonly rollouts: readonly Rollout[];
};

/** The origin stopped a rollout by itself. */
interface HoldEntry extends RolloutHold {
  readonly action: "hold";
}

export type ControlAuditEntry = ControlEntry | HoldEntry;
