/** A request of the BITS upload protocol, checked ([MC-BUP] 2.2). */
export type BitsPacket =
  | { readonly type: "ping" }
  | { readonly type: "create" }
  | { readonly type: "fragment"; readonly sessionId: string; readonly fragment: Fragment }
  | { readonly type: "close"; readonly sessionId: string }
  | { readonly type: "cancel"; readonly sessionId: string };

/** What a request is, before its rights, length, session and details are looked at ([MC-BUP] 3.2.5.2.3). */
export type PacketHead = { readonly type: "ping" } | { readonly type: "create" } | SessionPacketHead;

/** A packet of a session, whose id is as the client wrote it: the Ack repeats it. */
export type SessionPacketHead =
  | { readonly type: "fragment"; readonly sessionId: string }
  | { readonly type: "close"; readonly sessionId: string }
  | { readonly type: "cancel"; readonly sessionId: string };

/** Bytes `first` to `last` of a file of `total` bytes. */
export interface Fragment {
  readonly first: number;
  readonly last: number;
  readonly total: number;
}

/** An answer without body ([MC-BUP] 2.2.3 to 2.2.11). */
export interface BitsAnswer {
  readonly status: number;
  /** Without Content-Length and Connection. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}
