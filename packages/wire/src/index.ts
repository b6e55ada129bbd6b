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
