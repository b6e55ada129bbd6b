import { combineFlags, hasFlag, NTLM_FLAG } from "./ntlm-flags.js";
import { decodeText, encodeText } from "./ntlm-text.js";

/** Type 1: what the client can do ([MS-NLMP] 2.2.1.1). */
export interface NegotiateMessage {
  readonly flags: number;
}

/** Type 2: what the server chose, and the challenge ([MS-NLMP] 2.2.1.2). */
export interface ChallengeMessage {
  readonly flags: number;
  /** 8 bytes. */
  readonly challenge: Uint8Array;
  readonly targetName: string;
  /** Encoded attribute-value pairs; empty when the server sent none. */
  readonly targetInfo: Uint8Array;
}

/** Type 3: the client's answer ([MS-NLMP] 2.2.1.3). */
export interface AuthenticateMessage {
  readonly flags: number;
  readonly lmResponse: Uint8Array;
  readonly ntResponse: Uint8Array;
  readonly domain: string;
  readonly user: string;
  readonly workstation: string;
  /** The session key, encrypted; empty without key exchange. */
  readonly sessionKey: Uint8Array;
  /** Where the first field lies: a MIC fits before it from `MIC_END` on. */
  readonly payloadOffset: number;
}

const SIGNATURE = new TextEncoder().encode("NTLMSSP\0");
const TYPE = { negotiate: 1, challenge: 2, authenticate: 3 } as const;
/** Longest message; headers are limited to 64 KiB in base64. */
const MAX_MESSAGE_BYTES = 49_152;
/** Two short names. */
const MAX_NEGOTIATE_BYTES = 2048;
/** Characters of a user, a domain or a machine. */
const MAX_NAME_LENGTH = 256;
const VERSION_OFFSET = { challenge: 48, authenticate: 64 } as const;
const PAYLOAD_OFFSET = { challenge: 56, authenticate: 72 } as const;
export const MIC_OFFSET = 72;
export const MIC_END = 88;
/** Windows 10 and revision 15 of the protocol ([MS-NLMP] 2.2.2.10): some servers want to see a version. */
const VERSION = [10, 0, 0x61, 0x4a, 0, 0, 0, 15] as const;

/** True for the bytes of any NTLM message. */
export function isNtlmMessage(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 12 && SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** 1, 2 or 3 in messages that are well-formed so far. */
export function ntlmMessageType(bytes: Uint8Array): number | undefined {
  return isNtlmMessage(bytes) && bytes.byteLength <= MAX_MESSAGE_BYTES
    ? viewOf(bytes).getUint32(8, true)
    : undefined;
}

/** undefined for anything that is no Type 1. */
export function parseNegotiate(bytes: Uint8Array): NegotiateMessage | undefined {
  if (ntlmMessageType(bytes) !== TYPE.negotiate) return undefined;
  if (bytes.byteLength < 16 || bytes.byteLength > MAX_NEGOTIATE_BYTES) return undefined;
  const flags = viewOf(bytes).getUint32(12, true);
  // Nobody needs the names of domain and machine; where the flags announce them, they must lie inside.
  const isInside = (at: number) => bytes.byteLength >= at + 8 && field(bytes, at) !== undefined;
  if (hasFlag(flags, "domainSupplied") && !isInside(16)) return undefined;
  if (hasFlag(flags, "workstationSupplied") && !isInside(24)) return undefined;
  return { flags };
}

export function encodeNegotiate({ flags }: NegotiateMessage): Uint8Array {
  const bytes = startMessage(TYPE.negotiate, 40);
  const view = viewOf(bytes);
  view.setUint32(12, combineFlags(flags, NTLM_FLAG.version), true);
  bytes.set(VERSION, 32);
  return bytes;
}

/** undefined for anything that is no Type 2. */
export function parseChallenge(bytes: Uint8Array): ChallengeMessage | undefined {
  if (ntlmMessageType(bytes) !== TYPE.challenge || bytes.byteLength < 32) return undefined;
  const flags = viewOf(bytes).getUint32(20, true);
  const name = field(bytes, 12);
  const targetName = name === undefined ? undefined : decodeText(name, hasFlag(flags, "unicode"));
  // Older servers end after the challenge.
  const targetInfo =
    bytes.byteLength >= 48 && hasFlag(flags, "targetInfo") ? field(bytes, 40) : new Uint8Array(0);
  if (targetName === undefined || targetInfo === undefined) return undefined;
  return { flags, challenge: bytes.slice(24, 32), targetName, targetInfo };
}

export function encodeChallenge(message: ChallengeMessage): Uint8Array {
  const target = encodeText(message.targetName, hasFlag(message.flags, "unicode"));
  const bytes = startMessage(
    TYPE.challenge,
    PAYLOAD_OFFSET.challenge + target.byteLength + message.targetInfo.byteLength,
  );
  const view = viewOf(bytes);
  const infoOffset = putField(bytes, 12, target, PAYLOAD_OFFSET.challenge);
  view.setUint32(20, message.flags, true);
  bytes.set(message.challenge, 24);
  putField(bytes, 40, message.targetInfo, infoOffset);
  if (hasFlag(message.flags, "version")) bytes.set(VERSION, VERSION_OFFSET.challenge);
  return bytes;
}

/** undefined for anything that is no Type 3, has a field outside, or a name with control characters. */
export function parseAuthenticate(bytes: Uint8Array): AuthenticateMessage | undefined {
  if (ntlmMessageType(bytes) !== TYPE.authenticate || bytes.byteLength < 64) return undefined;
  const flags = viewOf(bytes).getUint32(60, true);
  const name = (at: number): string | undefined => {
    const value = field(bytes, at);
    const text = value === undefined ? undefined : decodeText(value, hasFlag(flags, "unicode"));
    return text === undefined || !isName(text) ? undefined : text;
  };
  const [lmResponse, ntResponse, sessionKey] = [field(bytes, 12), field(bytes, 20), field(bytes, 52)];
  const [domain, user, workstation] = [name(28), name(36), name(44)];
  if (lmResponse === undefined || ntResponse === undefined || sessionKey === undefined) return undefined;
  if (domain === undefined || user === undefined || workstation === undefined) return undefined;
  const offsets = FIELDS_OF_AUTHENTICATE.flatMap((at) =>
    viewOf(bytes).getUint16(at, true) === 0 ? [] : [viewOf(bytes).getUint32(at + 4, true)],
  );
  const payloadOffset = Math.min(bytes.byteLength, ...offsets);
  return { flags, lmResponse, ntResponse, domain, user, workstation, sessionKey, payloadOffset };
}

const FIELDS_OF_AUTHENTICATE = [12, 20, 28, 36, 44, 52] as const;

/** With room for a MIC when `payloadOffset` says so; the MIC itself is put in by whoever has all messages. */
export function encodeAuthenticate(message: AuthenticateMessage): Uint8Array {
  const isUnicode = hasFlag(message.flags, "unicode");
  const values = [
    message.lmResponse,
    message.ntResponse,
    encodeText(message.domain, isUnicode),
    encodeText(message.user, isUnicode),
    encodeText(message.workstation, isUnicode),
    message.sessionKey,
  ];
  const size = values.reduce((sum, value) => sum + value.byteLength, message.payloadOffset);
  const bytes = startMessage(TYPE.authenticate, size);
  let offset = message.payloadOffset;
  FIELDS_OF_AUTHENTICATE.forEach((at, i) => {
    offset = putField(bytes, at, values[i] ?? new Uint8Array(0), offset);
  });
  viewOf(bytes).setUint32(60, message.flags, true);
  if (hasFlag(message.flags, "version")) bytes.set(VERSION, VERSION_OFFSET.authenticate);
  return bytes;
}

function startMessage(type: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(SIGNATURE);
  viewOf(bytes).setUint32(8, type, true);
  return bytes;
}

/** What a field (length, space, offset) points to; undefined when it lies outside the message. */
function field(bytes: Uint8Array, at: number): Uint8Array | undefined {
  const view = viewOf(bytes);
  const length = view.getUint16(at, true);
  if (length === 0) return new Uint8Array(0);
  const offset = view.getUint32(at + 4, true);
  return offset < 12 || offset + length > bytes.byteLength ? undefined : bytes.slice(offset, offset + length);
}

/** Returns where the next field may begin. */
function putField(bytes: Uint8Array, at: number, value: Uint8Array, offset: number): number {
  const view = viewOf(bytes);
  view.setUint16(at, value.byteLength, true);
  view.setUint16(at + 2, value.byteLength, true);
  view.setUint32(at + 4, offset, true);
  bytes.set(value, offset);
  return offset + value.byteLength;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isName(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && !CONTROL.test(text);
}

// oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
