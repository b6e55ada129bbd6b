import { AppError, ERROR_CODES, type ErrorCode } from "@ckmesh/core";
import { HEADER, type HeaderFields } from "./header-names.js";
import type { BitsAnswer, BitsPacket } from "./packet.js";
import { BITS_PROTOCOL } from "./protocol-list.js";
import type { BitsReply, HostId, RefusedReply } from "./reply.js";

/** Microsoft Learn, BITS-Session-Id: as long as an id of any server may be. */
const MAX_SESSION_ID_LENGTH = 100;
/** Microsoft Learn, BITSHostId. */
const MAX_HOST_ID_LENGTH = 300;
/** [MC-BUP] 2.2.1.2: as long as a reply URL may be. */
export const MAX_REPLY_URL_LENGTH = 2200;
/** A server that asks for more patience than a day is not waited for so long. */
const MAX_RETRY_AFTER_SECONDS = 86_400;

/**
 * The HTTP answer of an Ack; its body is empty.
 * @param sessionId of the packet, as the client wrote it; undefined for Ping, and where there is no session
 */
export function encodeReply(reply: BitsReply, sessionId?: string): BitsAnswer {
  const common = {
    "BITS-Packet-Type": "Ack",
    ...(sessionId === undefined ? {} : { "BITS-Session-Id": sessionId }),
  };
  switch (reply.type) {
    case "ack":
      return { status: 200, headers: common };
    case "created":
      return {
        status: 200,
        headers: {
          ...common,
          "BITS-Session-Id": reply.sessionId,
          "BITS-Protocol": BITS_PROTOCOL,
          "Accept-Encoding": "identity",
          ...hostFields(reply.host),
        },
      };
    case "received":
      return {
        status: 200,
        headers: {
          ...common,
          "BITS-Received-Content-Range": String(reply.received),
          ...(reply.missing === undefined ? {} : { "Ckmesh-Missing": reply.missing.join("-") }),
          ...(reply.replyUrl === undefined ? {} : { "BITS-Reply-URL": reply.replyUrl }),
        },
      };
    case "refused":
      return { status: reply.status, headers: { ...common, ...refusedFields(reply) } };
  }
}

function hostFields(host: HostId | undefined): Readonly<Record<string, string>> {
  if (host === undefined) return {};
  return {
    "BITS-Host-Id": host.name,
    "BITS-Host-Id-Fallback-Timeout": String(host.fallbackSeconds),
  };
}

function refusedFields(reply: RefusedReply): Readonly<Record<string, string>> {
  const code = reply.hresult === undefined ? undefined : hexadecimal(reply.hresult);
  return {
    ...(code === undefined
      ? {}
      : {
          "BITS-Error": code,
          "BITS-Error-Code": code,
          "BITS-Error-Context": hexadecimal(reply.context ?? 0),
        }),
    ...(reply.received === undefined ? {} : { "BITS-Received-Content-Range": String(reply.received) }),
    ...(reply.retryAfterSeconds === undefined ? {} : { "Retry-After": String(reply.retryAfterSeconds) }),
    ...(reply.code === undefined ? {} : { "Ckmesh-Error": reply.code }),
  };
}

function hexadecimal(value: number): string {
  return `0x${value.toString(16).toUpperCase()}`;
}

/**
 * Reads the answer to a packet. Statuses from 400 on are refusals, whoever sent them.
 * @param headers names in lower case
 * @throws {AppError} ERR_ORIGIN_INVALID for a success that is no Ack, or lacks what the packet's Ack must say
 */
export function decodeReply(type: BitsPacket["type"], status: number, headers: HeaderFields): BitsReply {
  if (status >= 400) return decodeRefusal(status, headers);
  const ack = text(headers, HEADER.packetType)?.toLowerCase() === "ack";
  // Microsoft Learn knows 201 for Create-Session; nothing else is a success.
  if (!ack || !(status === 200 || (status === 201 && type === "create"))) {
    throw invalid(`status ${status} ${ack ? "is no success of BITS" : "without Ack: no BITS server"}`);
  }
  switch (type) {
    case "ping":
    case "close":
    case "cancel":
      return { type: "ack" };
    case "create":
      return decodeCreated(headers);
    case "fragment": {
      const received = decimal(text(headers, HEADER.receivedContentRange));
      if (received === undefined) throw invalid("a fragment's Ack without BITS-Received-Content-Range");
      const missing = decodeMissing(text(headers, HEADER.missing));
      return { type: "received", received, ...(missing === undefined ? {} : { missing }) };
    }
  }
}

function decodeCreated(headers: HeaderFields): BitsReply {
  if (text(headers, HEADER.protocol)?.toLowerCase() !== BITS_PROTOCOL) {
    throw invalid("a protocol that was not offered");
  }
  const sessionId = text(headers, HEADER.sessionId) ?? "";
  if (!/^[\x21-\x7e]+$/.test(sessionId) || sessionId.length > MAX_SESSION_ID_LENGTH) {
    throw invalid("no session id that can be sent back");
  }
  const name = text(headers, HEADER.hostId);
  if (name === undefined || name === "") return { type: "created", sessionId };
  if (name.length > MAX_HOST_ID_LENGTH) throw invalid("a host id that is too long");
  const fallbackSeconds = decimal(text(headers, HEADER.hostIdFallbackTimeout)) ?? 0;
  return { type: "created", sessionId, host: { name, fallbackSeconds } };
}

function decodeMissing(header: string | undefined): readonly [number, number] | undefined {
  if (header === undefined) return undefined;
  const m = /^(\d{1,16})-(\d{1,16})$/.exec(header);
  const [first, last] = [decimal(m?.[1]), decimal(m?.[2])];
  if (first === undefined || last === undefined || first > last)
    throw invalid("a run of missing bytes that is none");
  return [first, last];
}

function decodeRefusal(status: number, headers: HeaderFields): RefusedReply {
  const hresult = hresultOf(text(headers, HEADER.errorCode)) ?? hresultOf(text(headers, HEADER.error));
  const context = hresultOf(text(headers, HEADER.errorContext));
  const received = decimal(text(headers, HEADER.receivedContentRange));
  const code = codeOf(text(headers, HEADER.ckmeshError));
  const retryAfter = decimal(text(headers, "retry-after"));
  return {
    type: "refused",
    status,
    ...(hresult === undefined || hresult === 0 ? {} : { hresult }),
    ...(context === undefined ? {} : { context }),
    ...(received === undefined ? {} : { received }),
    ...(code === undefined ? {} : { code }),
    ...(retryAfter === undefined ? {} : { retryAfterSeconds: Math.min(retryAfter, MAX_RETRY_AFTER_SECONDS) }),
  };
}

function text(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  return (typeof value === "string" || value === undefined ? value : value.join(", "))?.trim();
}

/** A safe integer in plain digits; undefined for anything else. */
function decimal(digits: string | undefined): number | undefined {
  if (digits === undefined || !/^\d{1,16}$/.test(digits)) return undefined;
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : undefined;
}

function hresultOf(header: string | undefined): number | undefined {
  return header !== undefined && /^0x[0-9a-f]{1,8}$/i.test(header) ? Number(header) : undefined;
}

function codeOf(header: string | undefined): ErrorCode | undefined {
  return ERROR_CODES.find((code) => code === header);
}

function invalid(what: string): AppError {
  return new AppError("ERR_ORIGIN_INVALID", `the server answered a BITS packet with ${what}`);
}
