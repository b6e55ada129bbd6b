export {
  decodeCk,
  encodeCk,
  type LinkMessage,
  MAX_CLAIM_HOPS,
  MAX_PEERS_PER_MESSAGE,
  MAX_RUNS,
} from "./ck-codec.js";
export { claimSigningBytes, promiseSigningBytes } from "./claim-signing.js";
export {
  formatNetwork,
  type IpAddress,
  type IpNetwork,
  isHostIp,
  isLoopbackIp,
  isPrivateIp,
  networkContains,
  networkOf,
  parseIp,
  parseNetwork,
} from "./ip-address.js";
export {
  decodeLanAnnouncement,
  encodeLanAnnouncement,
  LAN_ID_BYTES,
  type LanAnnouncement,
  MAX_SWARMS_PER_DATAGRAM,
} from "./lan-codec.js";
export {
  IDENTITY_EXPORTER_LABEL,
  identitySigningBytes,
  type LinkRole,
  peerIdOf,
} from "./peer-identity.js";
export * from "./peer-messages.js";
export { isSiteLabel, MAX_SITE_LABEL_LENGTH } from "./site-label.js";
export {
  checkJoinProof,
  checkTicket,
  issueTicket,
  joinProof,
  MAX_TICKET_BYTES,
  MIN_KEY_BYTES,
  TICKET_LIFETIME_MS,
} from "./ticket.js";
export {
  decodeFromTracker,
  decodeToTracker,
  encodeFromTracker,
  encodeToTracker,
  MAX_HELLO_ADDRESSES,
  MAX_SITE_NETWORKS,
} from "./tracker-codec.js";
export * from "./tracker-messages.js";
export {
  decodeWanNotice,
  encodeWanNotice,
  isWanNotice,
  NOTICE_ID_CHARS,
  siteMark,
  type WanNotice,
} from "./wan-notice.js";
