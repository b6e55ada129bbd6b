import type { ClientLogon, PasswordCredentials } from "@ckmesh/auth";
import { AppError, type ByteRange, Fields, type Logger, parseContentRange } from "@ckmesh/core";
import { collectBody, streamBody, tooLong, truncated, wrongRange } from "./origin-body.js";
import { type OriginLinkOptions, openOriginLink } from "./origin-link.js";
import { OriginRequests } from "./origin-requests.js";

export interface OriginHttpOptions extends OriginLinkOptions {
  readonly logger: Logger;
  /** Site label, sent as `X-Ckmesh-Site` so that the origin can be fair to sites; asked for with each request. */
  readonly site?: () => string | undefined;
  /** Longest time for a head or a JSON answer as a whole, default 120,000 ms. */
  readonly answerTimeoutMs?: number;
}

export type HeadAnswer =
  | { readonly status: "unchanged" }
  | {
      readonly status: "found";
      readonly etag?: string;
      readonly lastModified?: string;
      /** The first 4,096 bytes, or all if the file is shorter. */
      readonly bytes: Uint8Array;
      /** Length of the file; absent when the server did not tell. */
      readonly total?: number;
    };

export interface HeadConditions {
  /** Entity tag of the copy at hand, as the server gave it. */
  readonly ifNoneMatch?: string;
  /** For servers without entity tags: their Last-Modified. */
  readonly ifModifiedSince?: string;
  readonly signal?: AbortSignal;
}

export interface SmallFileRequest {
  /** More is an error. */
  readonly maxBytes: number;
  /** Entity tag of the copy at hand. */
  readonly ifNoneMatch?: string;
  readonly signal?: AbortSignal;
}

export interface SmallFileAnswer {
  /** Absent: unchanged. */
  readonly bytes?: Uint8Array;
  /** First value of a header, by lower-case name. */
  header(name: string): string | undefined;
}

export interface RangeRequest extends ByteRange {
  /** Sent as `X-Ckmesh-Span`: what the origin's log needs to tell whether a site fetches a span twice. */
  readonly span?: number;
  /** Entity tag that the file must still have. */
  readonly etag?: string;
  readonly signal?: AbortSignal;
  /**
   * Takes the next bytes, whose first lies at `offset` of the file; they may be kept. While a returned
   * promise is open, nothing more is read from the connection.
   */
  onData(bytes: Uint8Array, offset: number): void | Promise<void>;
  /** Bytes that came though nobody asked for them: the server ignores ranges and sends from the beginning. */
  onSkipped?(count: number): void;
}

/** The head of an index (specs: image format). */
const HEAD_BYTES = 4096;
/** Largest JSON answer; the catalogue is the largest one. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;
const MAX_TICKET_BYTES = 4096;
/** The largest JSON answer over a very slow line. */
const ANSWER_TIMEOUT_MS = 120_000;

/**
 * The origin over HTTP/1.1: conditional GETs of heads, ranges as streams, small JSON answers. Keep-alive,
 * no redirects, credentials for this host only, no total time-out for ranges. After a failure one request at a time
 * until data flows again. Retrying is the caller's.
 */
export class OriginHttp {
  readonly #options: OriginHttpOptions;
  readonly #requests: OriginRequests;
  readonly #logon: ClientLogon | undefined;
  readonly #basePath: string;
  #wireBytes = 0;
  #ignoresRanges = false;

  /** @throws {AppError} ERR_CONFIG_INVALID when the URL, the credentials, the certificate or the proxy cannot be used */
  constructor(options: OriginHttpOptions) {
    this.#options = options;
    const { clock, logger } = options;
    const maxRequests = options.maxConnections ?? 6;
    const { lanes, logon, basePath } = openOriginLink({ ...options, maxConnections: maxRequests }, "get");
    this.#basePath = basePath;
    this.#logon = logon;
    this.#requests = new OriginRequests({
      lanes,
      maxRequests,
      site: options.site,
      answerTimeoutMs: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
      hasCertificate: options.certificate !== undefined,
      logger,
      clock,
    });
  }

  /** Body bytes received so far, all requests and errors included. */
  get wireBytes(): number {
    return this.#wireBytes;
  }

  /**
   * Conditional GET of the first 4 KiB of `fileName` in the virtual directory.
   * @throws {AppError} ERR_IMAGE_NOT_FOUND, ERR_AUTH_REQUIRED, ERR_AUTH_FORBIDDEN, ERR_RATE_LIMITED,
   *   ERR_ORIGIN_UNREACHABLE, ERR_ORIGIN_INVALID, ERR_TIMEOUT, ERR_ABORTED
   */
  async fetchHead(fileName: string, conditions: HeadConditions = {}): Promise<HeadAnswer> {
    const headers: Record<string, string> = { range: `bytes=0-${HEAD_BYTES - 1}` };
    if (conditions.ifNoneMatch !== undefined) headers["if-none-match"] = conditions.ifNoneMatch;
    else if (conditions.ifModifiedSince !== undefined)
      headers["if-modified-since"] = conditions.ifModifiedSince;
    return this.#requests.getSmall(
      this.#filePath(fileName),
      headers,
      conditions.signal,
      async (head, body, what) => {
        if (head.status === 304) {
          body.resume(); // there is none
          return { status: "unchanged" };
        }
        let total = parseLength(head.header("content-length"));
        if (head.status === 206) {
          const range = parseContentRange(head.header("content-range") ?? "");
          if (range?.first !== 0 || range.last !== Math.min(HEAD_BYTES, range.total) - 1) {
            throw wrongRange(what, head);
          }
          total = range.total;
        }
        const wanted = Math.min(HEAD_BYTES, total ?? HEAD_BYTES);
        const bytes = await collectBody(body, wanted, head.status === 206, what, this.#meter);
        if (total !== undefined && bytes.byteLength < wanted) throw truncated(what, bytes.byteLength, wanted);
        const etag = head.header("etag");
        const lastModified = head.header("last-modified");
        return {
          status: "found",
          bytes,
          ...(etag === undefined ? {} : { etag }),
          ...(lastModified === undefined ? {} : { lastModified }),
          ...(total === undefined ? {} : { total }),
        };
      },
    );
  }

  /**
   * Conditional GET of a whole file of the virtual directory, which is small.
   * @throws {AppError} as `fetchHead`
   */
  async fetchSmallFile(fileName: string, request: SmallFileRequest): Promise<SmallFileAnswer> {
    const { ifNoneMatch, maxBytes, signal } = request;
    const headers = ifNoneMatch === undefined ? {} : { "if-none-match": ifNoneMatch };
    return this.#requests.getSmall(this.#filePath(fileName), headers, signal, async (head, body, what) => {
      const header = (name: string): string | undefined => head.header(name);
      if (head.status === 304 && ifNoneMatch !== undefined) {
        body.resume(); // there is none
        return { header };
      }
      if (head.status !== 200) throw wrongRange(what, head);
      const length = parseLength(head.header("content-length"));
      if (length !== undefined && length > maxBytes) throw tooLong(what, maxBytes);
      const bytes = await collectBody(body, maxBytes, true, what, this.#meter);
      if (length !== undefined && bytes.byteLength < length) throw truncated(what, bytes.byteLength, length);
      return { header, bytes };
    });
  }

  /**
   * Streams bytes [first, last] of `fileName`. When it throws, everything given to `onData` before is still
   * good: go on from there. What `onData` throws comes through unchanged. A server that ignores ranges (200) is read as a stream from its beginning.
   * @throws {AppError} ERR_ORIGIN_CHANGED on 412 or another entity tag, ERR_ORIGIN_INVALID on a wrong or
   *   short range, ERR_ORIGIN_UNREACHABLE when the connection fails or breaks, ERR_TIMEOUT without progress,
   *   ERR_RATE_LIMITED with `details.retryMs`, ERR_IMAGE_NOT_FOUND, ERR_AUTH_*, ERR_ABORTED
   */
  async fetchRange(fileName: string, request: RangeRequest): Promise<void> {
    const { first, last, etag, signal } = request;
    if (!(Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 0 && first <= last)) {
      throw new Error(`unreachable: range ${first}-${last}`);
    }
    const headers: Record<string, string> = { range: `bytes=${first}-${last}` };
    if (request.span !== undefined) headers["x-ckmesh-span"] = String(request.span);
    // Only strong tags may stand in these (RFC 9110 §13.1.1, §13.1.5); a weak one is compared below.
    if (etag !== undefined && !etag.startsWith("W/")) {
      headers["if-match"] = etag;
      headers["if-range"] = etag;
    }
    await this.#requests.get(this.#filePath(fileName), headers, signal, async (head, body, what) => {
      const now = head.header("etag");
      if (etag !== undefined && now !== undefined && now !== etag) {
        throw new AppError("ERR_ORIGIN_CHANGED", `${what} changed at the origin`, { details: { etag: now } });
      }
      if (head.status === 304) throw wrongRange(what, head);
      let at = 0;
      if (head.status === 206) {
        const range = parseContentRange(head.header("content-range") ?? "");
        if (range?.first !== first || range.last !== last) throw wrongRange(what, head);
        at = first;
      } else {
        const length = parseLength(head.header("content-length"));
        if (length !== undefined && length <= last) throw truncated(what, length, last + 1);
        if (first > 0) this.#noteIgnoredRange(what);
      }
      const meter = (bytes: number): void => {
        this.#meter(bytes);
        this.#requests.flowing();
      };
      await streamBody(body, at, request, head.status === 206, what, meter);
    });
  }

  /**
   * A JSON answer of at most 4 MiB from a path on the origin's host, such as `/ckmesh/catalogue`. Untrusted.
   * @throws {AppError} as `fetchHead`
   */
  async fetchJson(path: string, signal?: AbortSignal): Promise<unknown> {
    return this.#requests.getSmall(path, { accept: "application/json" }, signal, async (head, body, what) => {
      const length = parseLength(head.header("content-length")) ?? 0;
      if (head.status !== 200) throw wrongRange(what, head);
      if (length > MAX_JSON_BYTES) throw tooLong(what, MAX_JSON_BYTES);
      const bytes = await collectBody(body, MAX_JSON_BYTES, true, what, this.#meter);
      try {
        const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
        return value;
      } catch (cause) {
        throw new AppError("ERR_ORIGIN_INVALID", `the origin's answer to ${what} is no JSON`, { cause });
      }
    });
  }

  /**
   * The ticket for the tracker (DESIGN section 6), bound to this peer id.
   * @throws {AppError} as `fetchHead`; ERR_IMAGE_NOT_FOUND from an origin that issues none
   */
  async fetchTicket(peerIdHex: string, signal?: AbortSignal): Promise<Uint8Array> {
    const path = `/ckmesh/ticket?peer=${encodeURIComponent(peerIdHex)}`;
    const fields = new Fields(await this.fetchJson(path, signal), "ticket answer", "ERR_ORIGIN_INVALID");
    const ticket = Buffer.from(fields.string("ticket", MAX_TICKET_BYTES), "base64");
    if (ticket.byteLength === 0) throw new AppError("ERR_ORIGIN_INVALID", "the origin sent an empty ticket");
    return ticket;
  }

  /** Aborts every request. */
  async close(): Promise<void> {
    await this.#requests.close();
  }

  /** Another password, which lifts what a refusal of the old one means; the same one changes nothing. */
  renewCredentials(credentials: PasswordCredentials): void {
    this.#logon?.renew(credentials);
  }

  /** A person asks for a check: a refused password may be tried once more now. */
  forgiveRefusal(): void {
    this.#logon?.standing.reset();
  }

  readonly #meter = (bytes: number): void => {
    this.#wireBytes += bytes;
  };

  /** Works all the same, at the price of everything before the range; a person should know. */
  #noteIgnoredRange(what: string): void {
    if (this.#ignoresRanges) return;
    this.#ignoresRanges = true;
    this.#options.logger.warn(
      { path: what },
      "the server, or a proxy before it, ignores ranges: files are read from their beginning, which costs the WAN dearly",
    );
  }

  #filePath(fileName: string): string {
    return `${this.#basePath}/${encodeURIComponent(fileName)}`;
  }
}

function parseLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
