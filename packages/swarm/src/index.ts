export type {
  CandidateSource,
  CloseReason,
  FetchId,
  FetchResult,
  LinkId,
  SwarmEffect,
  SwarmEvent,
} from "./swarm-messages.js";
