export {
  accessDenied,
  applicationRefused,
  applicationTimedOut,
  applicationUnreachable,
  BitsFault,
  contentLengthMissing,
  diskFull,
  ERROR_CONTEXT,
  fragmentTooLarge,
  invalidPacket,
  refusal,
  serverFailed,
  sessionNotFound,
  tooManySessions,
  uploadsDisabled,
  uploadTooLarge,
  uploadVanished,
} from "./bits-fault.js";
export { fragmentLength } from "./content-range.js";
export { HEADER, type HeaderFields } from "./header-names.js";
export { HRESULT, type Hresult } from "./hresult.js";
export type { BitsAnswer, BitsPacket, Fragment, PacketHead, SessionPacketHead } from "./packet.js";
export { encodePacket, parsePacket, parsePacketHead, requireContentLength } from "./packet-codec.js";
export type { BitsReply, CreatedReply, HostId, ReceivedReply, RefusedReply } from "./reply.js";
export { decodeReply, encodeReply, MAX_REPLY_URL_LENGTH } from "./reply-codec.js";
export { formatSessionId, SESSION_ID_BYTES, sessionKey } from "./session-id.js";
export {
  type FragmentLimits,
  interruptibleAt,
  openSession,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
  type SessionStep,
  stepSession,
} from "./session-machine.js";
export {
  type DueSession,
  type OpenSession,
  type SessionOwner,
  type SessionStanding,
  SessionTable,
  type SessionTableLimits,
} from "./session-table.js";
export { beginUpload, stepUpload, uploadRecord } from "./upload-machine.js";
export type { UploadAction, UploadEvent, UploadPlan, UploadRecord } from "./upload-messages.js";
export type { UploadState, UploadStep } from "./upload-state.js";
