export { Identity, verifySignature } from "./identity.js";
export { LanAnnouncer, type LanAnnouncerOptions } from "./lan-announcer.js";
export type { LinkLimits } from "./link-limits.js";
export type { RequestBody } from "./origin/lane.js";
export type { OriginAnswer } from "./origin/origin-answer.js";
export { type OriginCall, OriginCalls } from "./origin/origin-calls.js";
export {
  type HeadAnswer,
  type HeadConditions,
  OriginHttp,
  type OriginHttpOptions,
  type RangeRequest,
  type SmallFileAnswer,
} from "./origin/origin-http.js";
export type { OriginLinkOptions } from "./origin/origin-link.js";
export { OriginProbe, probeConnection, type TlsFacts } from "./origin/origin-probe.js";
export { bareHost, proxyFor } from "./origin/proxy.js";
export type { PeerLink, PeerLinkHandler } from "./peer-link.js";
export {
  PeerTransport,
  type PeerTransportOptions,
  type SwarmEndpoint,
  type TransportSwarm,
} from "./peer-transport.js";
export { TrackerLink } from "./tracker-link.js";
export type { TrackerLinkHandler, TrackerLinkOptions, TrackerLinkStatus } from "./tracker-link-options.js";
export type { RowSizes } from "./wire-guard.js";
