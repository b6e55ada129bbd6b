export { Identity, verifySignature } from "./identity.js";
export { LanAnnouncer, type LanAnnouncerOptions } from "./lan-announcer.js";
export type { LinkLimits } from "./link-limits.js";
export {
  type HeadAnswer,
  type HeadConditions,
  OriginHttp,
  type OriginHttpOptions,
  type RangeRequest,
} from "./origin-http.js";
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
