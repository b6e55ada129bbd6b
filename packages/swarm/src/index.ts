export type { UnsignedClaim } from "./claims/claim-announcer.js";
export { DELTA_NEED_LOOK_MS, DELTA_REFUSED_MS } from "./constants.js";
export { type DeltaEffect, type DeltaEvent, DeltaMachine } from "./delta-machine.js";
export { type DonorEffect, type DonorEvent, DonorMachine } from "./donor-machine.js";
export { HintGate } from "./hint-gate.js";
export { Backoff } from "./links/backoff.js";
export { POLL_INTERVAL_MS, type PollOptions, PollSchedule } from "./poll-schedule.js";
export type { UnsignedPromise } from "./rows/promise-gossip.js";
export type { PieceSection } from "./rows/row-table.js";
export type { SwarmConfig, SwarmStatus } from "./swarm-config.js";
export { SwarmMachine } from "./swarm-machine.js";
export type {
  CandidateSource,
  CloseReason,
  FetchId,
  FetchResult,
  LinkId,
  SwarmEffect,
  SwarmEvent,
} from "./swarm-messages.js";
export { UpdateWait, type UpdateWaitEffect, type UpdateWaitEvent } from "./update-wait.js";
export { WakeTimer } from "./wake-timer.js";
export {
  FairQueue,
  type FairQueueEffect,
  type FairQueueLimits,
  type RefusalReason,
  type TransferId,
  type TransferPlace,
} from "./wan/fair-queue.js";
export {
  type LocalTime,
  modeAt,
  nextEdge,
  parseTimetable,
  type Timetable,
  type WanMode,
} from "./wan/timetable.js";

export { type WanLimit, WanPacer } from "./wan/wan-pacer.js";
