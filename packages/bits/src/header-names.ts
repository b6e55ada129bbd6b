/** Header fields of the BITS upload protocol ([MC-BUP] 2.2.1, Microsoft Learn "BITS Upload Protocol"), in lower case. */
export const HEADER = {
  packetType: "bits-packet-type",
  sessionId: "bits-session-id",
  supportedProtocols: "bits-supported-protocols",
  protocol: "bits-protocol",
  receivedContentRange: "bits-received-content-range",
  /** Name in [MC-BUP] 2.2.1.2. */
  error: "bits-error",
  /** Name in Microsoft Learn and in the implementations; both are sent. */
  errorCode: "bits-error-code",
  errorContext: "bits-error-context",
  hostId: "bits-host-id",
  /** Seconds. */
  hostIdFallbackTimeout: "bits-host-id-fallback-timeout",
  replyUrl: "bits-reply-url",
  /** Of ckmesh: the next run of bytes that the origin cannot find by itself, `A-B`, both inclusive. */
  missing: "ckmesh-missing",
  /** Of ckmesh: the code of the error, finer than status and HRESULT. */
  ckmeshError: "ckmesh-error",
} as const;

/** Header fields as Node has them: names in lower case, repeated fields joined or listed. */
export type HeaderFields = Readonly<Record<string, string | readonly string[] | undefined>>;
