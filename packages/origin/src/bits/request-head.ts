import type { IncomingHttpHeaders } from "node:http";
import { BitsFault, contentLengthMissing, invalidPacket } from "@ckmesh/bits";
import { originForm } from "../listener/request-target.js";

/** A head that is good HTTP/1.1 (RFC 9112), of a request whose method was looked at before. */
export interface RequestHead {
  /** In origin form, as the client wrote it. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly contentLength: number | undefined;
  /** The client waits for 100 before it sends the body (RFC 9110 §10.1.1). */
  readonly expectsContinue: boolean;
  /** The client wants the connection closed after the answer. */
  readonly isLast: boolean;
}

/** All of a head; what a ticket of Kerberos needs (RFC 4559), as for Node's parser. */
export const MAX_HEAD_BYTES = 65_536;
/** The head without the line that bears the ticket. */
export const MAX_PLAIN_HEAD_BYTES = 16_384;

/** A sender of single bytes must not cost more memory than its bytes. */
const MAX_PIECES = 64;

const LF = 0x0a;
const CR = 0x0d;
const REQUEST_LINE = /^\S+ ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/;
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)$/;
/** Digits that a safe integer has in any case. */
const CONTENT_LENGTH = /^\d{1,15}$/;
/** Given twice they could mean two things, and two programs on the way could take one each. */
const SINGLE = new Set([
  "host",
  "authorization",
  "content-length",
  "content-range",
  "content-encoding",
  "expect",
  "transfer-encoding",
]);

/** Collects a head as it comes in, and looks at each byte once. */
export class HeadCollector {
  #chunks: Buffer[] = [];
  #size = 0;
  /** Bytes since the last line end. */
  #lineSize = 0;
  #lastByte = 0;

  /**
   * @returns the head with its empty line, and what came behind it; undefined while it is not complete
   * @throws {BitsFault} 431 when it is too long, 400 at a line feed alone
   */
  take(chunk: Buffer): { readonly head: Buffer; readonly rest: Buffer } | undefined {
    let from = 0;
    for (;;) {
      const at = chunk.indexOf(LF, from);
      const end = at < 0 ? chunk.length : at;
      if (this.#size + end >= MAX_HEAD_BYTES) throw headTooLong();
      if (at < 0) break;
      const before = at === 0 ? this.#lastByte : chunk[at - 1];
      if (before !== CR) throw invalidPacket("a line feed without carriage return");
      const lineSize = this.#lineSize + at - from;
      this.#lineSize = 0;
      from = at + 1;
      if (lineSize === 1) {
        this.#chunks.push(chunk.subarray(0, from));
        return { head: Buffer.concat(this.#chunks), rest: chunk.subarray(from) };
      }
    }
    if (this.#chunks.length === MAX_PIECES) this.#chunks = [Buffer.concat(this.#chunks)];
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#lineSize += chunk.length - from;
    this.#lastByte = chunk.at(-1) ?? this.#lastByte;
    return undefined;
  }
}

/**
 * Parses a complete head, stricter than RFC 9112 allows where two programs could read it in two ways.
 * @param head with the empty line
 * @throws {BitsFault} 400, 411, 417, 431, 505
 */
export function parseHead(head: Buffer): RequestHead {
  const [first = "", ...lines] = head.toString("latin1", 0, head.length - 4).split("\r\n");
  const target = parseRequestLine(first);
  const fields = parseFields(lines);
  const authorization = fields.get("authorization") ?? "";
  if (head.length - authorization.length > MAX_PLAIN_HEAD_BYTES) {
    throw headTooLong();
  }
  if (!fields.has("host")) throw invalidPacket("no Host"); // RFC 9112 §3.2
  const contentLength = parseContentLength(fields);
  const expect = fields.get("expect")?.toLowerCase();
  if (expect !== undefined && expect !== "100-continue")
    throw new BitsFault("ERR_REQUEST_INVALID", "an unknown expectation", { status: 417 });
  return {
    target,
    headers: Object.fromEntries(fields),
    contentLength,
    expectsContinue: expect !== undefined && contentLength !== undefined && contentLength > 0,
    isLast: isClosing(fields.get("connection")),
  };
}

function headTooLong(): BitsFault {
  return new BitsFault("ERR_REQUEST_INVALID", "the head is too long", { status: 431 });
}

function parseRequestLine(line: string): string {
  const [, written = "", major, minor] = REQUEST_LINE.exec(line) ?? [];
  if (major === undefined) throw invalidPacket("no request line");
  // [MC-BUP] 2.2.1 knows HTTP/1.1 only.
  if (major !== "1" || minor !== "1")
    throw new BitsFault("ERR_REQUEST_INVALID", "another version than HTTP/1.1", { status: 505 });
  const target = originForm(written);
  if (!target.startsWith("/")) throw invalidPacket("a target that is no path");
  return target;
}

function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    // A folded line (RFC 9112 §5.2) begins with a blank: no name.
    const [, written, rawValue = ""] = FIELD_LINE.exec(line) ?? [];
    if (written === undefined) throw invalidPacket("a line that is no header");
    const name = written.toLowerCase();
    const value = rawValue.trim();
    const before = fields.get(name);
    if (before !== undefined && SINGLE.has(name)) throw invalidPacket(`${name} given twice`);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

/** A body has a length told before, or there is none: a fragment must be as long as its range. */
function parseContentLength(fields: ReadonlyMap<string, string>): number | undefined {
  const text = fields.get("content-length");
  if (fields.has("transfer-encoding")) {
    throw text === undefined
      ? contentLengthMissing()
      : invalidPacket("Transfer-Encoding beside Content-Length");
  }
  if (text === undefined) return undefined;
  if (!CONTENT_LENGTH.test(text)) throw invalidPacket("Content-Length is no number");
  return Number(text);
}

function isClosing(connection: string | undefined): boolean {
  return connection?.split(",").some((token) => token.trim().toLowerCase() === "close") ?? false;
}
