import type { Readable } from "node:stream";

/** Bytes that go with a request. A logon may need them more than once. */
export interface RequestBody {
  readonly length: number;
  /** All of them from the beginning; what was given must not change any more. */
  read(): AsyncIterable<Uint8Array>;
}

/** A request without body, which any server answers at once. */
export interface Opener {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface LaneRequest {
  /** Default GET. */
  readonly method?: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /**
   * For bodies too long to be sent in vain: sent to the same path before the request on each connection that is not
   * logged on, so that the logon is done with it.
   */
  readonly opener?: Opener;
  /** In place of the link's. */
  readonly headTimeoutMs?: number;
  /** For messages. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
}

/** An answer whose body was not read yet. */
export interface RawAnswer {
  readonly statusCode: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Readable;
}

/** One connection at a time to the origin, made again when it was lost. */
export interface Lane {
  readonly isConnected: boolean;
  /** Counts the connections made. */
  readonly connection: number;
  /** Of the connection, over TLS. */
  readonly channelBinding: Uint8Array | undefined;
  send(request: LaneRequest, authorization: string | undefined): Promise<RawAnswer>;
  /** The server said that it closes the connection. */
  closing(): void;
  close(): Promise<void>;
}

/** Where a lane leads, and by which way. */
export interface LanePlace {
  readonly url: URL;
  readonly isPlainProxied: boolean;
  /** Paths go to a proxy in their absolute form (RFC 9112 §3.2.2), with this. */
  readonly proxyAuthorization?: string;
}

/** Kerberos replies are larger than the 16 KiB that Node takes by itself. */
export const MAX_HEADER_BYTES = 65_536;
/**
 * An unused connection is kept for this long where the server does not say, ms: a logon costs up to four round trips,
 * and stock servers keep them for 5 (Node, Apache; both say so) to 120 s.
 */
export const KEEP_ALIVE_MS = 15_000;

/** What all lanes put on the wire for a request, its body aside. */
export function wireForm(
  { url, isPlainProxied, proxyAuthorization }: LanePlace,
  { path, headers }: LaneRequest,
  authorization: string | undefined,
): { readonly path: string; readonly headers: Record<string, string> } {
  return {
    path: isPlainProxied ? `${url.origin}${path}` : path,
    headers: {
      // No compression: ranges are of the file.
      "accept-encoding": "identity",
      "user-agent": "ckmesh",
      ...headers,
      ...(authorization !== undefined && { authorization }),
      ...(isPlainProxied &&
        proxyAuthorization !== undefined && { "proxy-authorization": proxyAuthorization }),
    },
  };
}
