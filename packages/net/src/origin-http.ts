import {
  AppError,
  type ByteRange,
  type Clock,
  Fields,
  type Logger,
  parseContentRange,
  rangeLength,
} from "@ckmesh/core";
import { isSiteLabel } from "@ckmesh/wire";
import { type Dispatcher, Pool } from "undici";
import { ConnectionGate } from "./connection-gate.js";
import { type AnswerHead, errorOfAnswer, errorOfFailure } from "./origin-error.js";
import { type OriginCredentials, originHeaders, parseOriginUrl } from "./origin-url.js";

export interface OriginHttpOptions {
  /** Names the virtual directory: `https://host/MEDVImages`. */
  readonly baseUrl: string;
  /** Basic (RFC 7617); only sent over https, or with `allowBasicOverHttp`. */
  readonly credentials?: OriginCredentials;
  readonly allowBasicOverHttp?: boolean;
  /** PEM of the authorities to trust in place of the system's. */
  readonly ca?: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Site label, sent as `X-Ckmesh-Site` so that the origin can be fair to sites; asked for with each request. */
  readonly site?: () => string | undefined;
  /** Longest wait for a connection, default 10,000 ms. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the head of an answer, default 15,000 ms. */
  readonly headTimeoutMs?: number;
  /** Longest pause between two parts of a body, default 20,000 ms. Ranges have no total time-out. */
  readonly bodyTimeoutMs?: number;
  /** Longest time for a head or a JSON answer as a whole, default 120,000 ms. */
  readonly answerTimeoutMs?: number;
  /** Most requests at a time, default 6. */
  readonly maxConnections?: number;
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
/** Bytes of an error page that are read to keep its connection. */
const MAX_ERROR_PAGE_BYTES = 64 * 1024;
const MAX_TICKET_BYTES = 4096;
/** The largest JSON answer over a very slow line. */
const ANSWER_TIMEOUT_MS = 120_000;

type Use<T> = (head: AnswerHead, body: Dispatcher.ResponseData["body"], what: string) => Promise<T>;

/**
 * The origin over HTTP/1.1: conditional GETs of heads, ranges as streams, small JSON answers. Keep-alive,
 * no redirects, credentials for this host only, no total time-out for ranges. After a failure one request at a time
 * until data flows again. Retrying is the caller's.
 */
export class OriginHttp {
  readonly #options: OriginHttpOptions;
  readonly #pool: Pool;
  readonly #gate: ConnectionGate;
  readonly #basePath: string;
  readonly #headers: Readonly<Record<string, string>>;
  #wireBytes = 0;

  /** @throws {AppError} ERR_CONFIG_INVALID when the URL or the credentials cannot be used */
  constructor(options: OriginHttpOptions) {
    this.#options = options;
    const url = parseOriginUrl(options.baseUrl);
    this.#basePath = url.pathname.replace(/\/+$/, "");
    this.#headers = originHeaders(url, options);
    const connections = options.maxConnections ?? 6;
    this.#gate = new ConnectionGate(connections);
    this.#pool = new Pool(url.origin, {
      connections,
      pipelining: 1,
      allowH2: false,
      headersTimeout: options.headTimeoutMs ?? 15_000,
      bodyTimeout: options.bodyTimeoutMs ?? 20_000,
      connect: {
        timeout: options.connectTimeoutMs ?? 10_000,
        ...(options.ca === undefined ? {} : { ca: options.ca }),
      },
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
    return this.#getSmall(this.#filePath(fileName), headers, conditions.signal, async (head, body, what) => {
      if (head.status === 304) {
        await body.dump({ limit: MAX_ERROR_PAGE_BYTES });
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
      const bytes = await this.#collect(body, wanted, head.status === 206, what);
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
    await this.#get(this.#filePath(fileName), headers, signal, async (head, body, what) => {
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
      }
      await this.#stream(body, at, request, head.status === 206, what);
    });
  }

  /**
   * A JSON answer of at most 4 MiB from a path on the origin's host, such as `/ckmesh/catalogue`. Untrusted.
   * @throws {AppError} as `fetchHead`
   */
  async fetchJson(path: string, signal?: AbortSignal): Promise<unknown> {
    return this.#getSmall(path, { accept: "application/json" }, signal, async (head, body, what) => {
      const length = parseLength(head.header("content-length")) ?? 0;
      if (head.status !== 200) throw wrongRange(what, head);
      if (length > MAX_JSON_BYTES) throw tooLong(what, MAX_JSON_BYTES);
      const bytes = await this.#collect(body, MAX_JSON_BYTES, true, what);
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
    this.#gate.close();
    await this.#pool.destroy();
  }

  #filePath(fileName: string): string {
    return `${this.#basePath}/${encodeURIComponent(fileName)}`;
  }

  /** As `#get`, with an end: an origin that sends a byte now and then would hold a poll for ever. */
  async #getSmall<T>(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    use: Use<T>,
  ): Promise<T> {
    const { clock, answerTimeoutMs = ANSWER_TIMEOUT_MS } = this.#options;
    return this.#get(path, headers, signal, async (head, body, what) => {
      const late = new AppError("ERR_TIMEOUT", `the origin did not send all of ${what} in time`);
      const cancel = clock.after(answerTimeoutMs, () => body.destroy(late));
      try {
        return await use(head, body, what);
      } finally {
        cancel();
      }
    });
  }

  /** One GET under the gate; `use` gets answers of 200, 206 and 304 and must read or drop the body. */
  async #get<T>(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    use: Use<T>,
  ): Promise<T> {
    const what = path.replace(/\?.*$/, "");
    await this.#gate.enter(signal);
    let body: Dispatcher.ResponseData["body"] | undefined;
    try {
      const answer = await this.#pool.request({
        path,
        method: "GET",
        headers: { ...this.#headers, ...siteHeader(this.#options.site?.()), ...headers },
        ...(signal === undefined ? {} : { signal }),
      });
      body = answer.body;
      // Errors after the last read (an aborted rest) have no listener otherwise.
      body.on("error", () => {});
      const head = headOf(answer);
      if (head.status !== 200 && head.status !== 206 && head.status !== 304) {
        await body.dump({ limit: MAX_ERROR_PAGE_BYTES }).catch(() => {}); // the status says it all
        throw errorOfAnswer(head, what, this.#options.clock.wall());
      }
      const encoding = head.header("content-encoding");
      if (encoding !== undefined && encoding !== "identity") {
        throw new AppError(
          "ERR_ORIGIN_INVALID",
          `the origin sends ${what} with content encoding ${encoding.slice(0, 40)}; switch that off for images`,
        );
      }
      const result = await use(head, body, what);
      this.#gate.flowing();
      return result;
    } catch (err) {
      body?.destroy();
      if (err instanceof ConsumerFailure) throw err.cause; // not the origin's fault
      const failure = errorOfFailure(err, what, signal);
      if (isTrouble(failure)) this.#gate.trouble();
      this.#options.logger.debug({ path: what, code: failure.code }, "origin request failed");
      throw failure;
    } finally {
      this.#gate.leave();
    }
  }

  /** Reads at most `limit` bytes; `exact`: more than that is an error, else the rest is dropped. */
  async #collect(
    body: Dispatcher.ResponseData["body"],
    limit: number,
    exact: boolean,
    what: string,
  ): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of chunksOf(body)) {
      this.#wireBytes += part.byteLength;
      length += part.byteLength;
      if (length > limit && exact) throw tooLong(what, limit);
      parts.push(part);
      if (length >= limit && !exact) break;
    }
    return Buffer.concat(parts).subarray(0, limit);
  }

  /** Hands on the asked bytes of a body whose first byte lies at `at` of the file. */
  async #stream(
    body: Dispatcher.ResponseData["body"],
    at: number,
    request: RangeRequest,
    exact: boolean,
    what: string,
  ): Promise<void> {
    const end = request.last + 1;
    let offset = at;
    for await (const part of chunksOf(body)) {
      this.#wireBytes += part.byteLength;
      this.#gate.flowing();
      const from = Math.max(offset, request.first);
      const to = Math.min(offset + part.byteLength, end);
      if (exact && offset + part.byteLength > end) throw tooLong(what, rangeLength(request));
      if (from < to) {
        try {
          const given = request.onData(part.subarray(from - offset, to - offset), from);
          if (given !== undefined) await given;
        } catch (cause) {
          throw new ConsumerFailure("onData failed", { cause });
        }
      }
      const skipped = part.byteLength - Math.max(0, to - from);
      if (skipped > 0) request.onSkipped?.(skipped);
      offset += part.byteLength;
      if (!exact && offset >= end) return;
      if (request.signal?.aborted === true) throw new AppError("ERR_ABORTED", `${what} aborted`);
    }
    if (offset < end)
      throw truncated(what, Math.max(0, offset - request.first), end - Math.max(at, request.first));
  }
}

/** Carries what `onData` threw past the translation of the origin's own failures. */
class ConsumerFailure extends Error {}

/** Body parts as bytes; leaving the loop early destroys the body and with it the connection. */
async function* chunksOf(body: Dispatcher.ResponseData["body"]): AsyncGenerator<Uint8Array> {
  for await (const part of body) {
    if (!(part instanceof Uint8Array)) throw new Error("unreachable: body part is no bytes");
    yield part;
  }
}

function headOf(answer: Dispatcher.ResponseData): AnswerHead {
  return {
    status: answer.statusCode,
    header(name) {
      const value = answer.headers[name];
      return typeof value === "string" ? value : value?.[0];
    },
  };
}

/** Nothing for what is no site label: the origin would not take it. */
function siteHeader(site: string | undefined): Readonly<Record<string, string>> {
  return site !== undefined && isSiteLabel(site) ? { "x-ckmesh-site": encodeURIComponent(site) } : {};
}

function parseLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

function isTrouble(err: AppError): boolean {
  return (
    err.code === "ERR_ORIGIN_UNREACHABLE" ||
    err.code === "ERR_ORIGIN_INVALID" ||
    err.code === "ERR_TIMEOUT" ||
    err.code === "ERR_RATE_LIMITED"
  );
}

function wrongRange(what: string, head: AnswerHead): AppError {
  const range = head.header("content-range")?.slice(0, 80) ?? "no Content-Range";
  return new AppError(
    "ERR_ORIGIN_INVALID",
    `the origin answered ${what} with another range than asked for (status ${head.status}, ${range})`,
    { details: { status: head.status } },
  );
}

function truncated(what: string, received: number, wanted: number): AppError {
  return new AppError("ERR_ORIGIN_INVALID", `the origin sent ${received} of ${wanted} bytes of ${what}`, {
    details: { received, wanted },
  });
}

function tooLong(what: string, limit: number): AppError {
  return new AppError("ERR_ORIGIN_INVALID", `the origin sent more than the ${limit} bytes asked of ${what}`);
}
