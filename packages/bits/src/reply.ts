import type { ErrorCode } from "@ckmesh/core";

/** What an Ack says; `encodeReply` and `decodeReply` turn it into an HTTP answer and back. */
export type BitsReply =
  /** To Ping, Close-Session and Cancel-Session. */
  { readonly type: "ack" } | CreatedReply | ReceivedReply | RefusedReply;

export interface CreatedReply {
  readonly type: "created";
  readonly sessionId: string;
  /** The server that all further packets of this session must go to. */
  readonly host?: HostId;
}

/** Both or none are sent (BITSHostId, BITSHostIdFallbackTimeout). */
export interface HostId {
  readonly name: string;
  readonly fallbackSeconds: number;
}

/** To a Fragment that was taken, whole or in part. */
export interface ReceivedReply {
  readonly type: "received";
  /** The next byte wanted. May be ahead of the fragment's end: the server has those bytes. */
  readonly received: number;
  /** The next bytes wanted, both inclusive, if not all that follow; of ckmesh only. */
  readonly missing?: readonly [number, number];
  /** Where the answer of a back-end application lies (upload-reply jobs). */
  readonly replyUrl?: string;
}

export interface RefusedReply {
  readonly type: "refused";
  readonly status: number;
  /** Unsigned 32 bits. Absent where the status says it all. */
  readonly hresult?: number;
  /** `ERROR_CONTEXT`, or what the other side sent. */
  readonly context?: number;
  /** In every Ack to a Fragment of a known session. */
  readonly received?: number;
  /** From ckmesh only. */
  readonly code?: ErrorCode;
  readonly retryAfterSeconds?: number;
  /** What the server said in words, for logs; never sent. */
  readonly message?: string;
}
