import { AppError, parseContentRange } from "@ckmesh/core";
import type { OriginCalls } from "@ckmesh/net";
import { refusalOf } from "./admin-refusal.js";

/** Asked for at a time: a slow line needs well under the time that an answer may take. */
const PART_BYTES = 4 * 1024 * 1024;

/** A published file of an origin, read in parts, the same one from the first part to the last. */
export class OriginFile {
  readonly length: number;
  readonly #calls: OriginCalls;
  readonly #path: string;
  readonly #etag: string;
  readonly #signal: AbortSignal | undefined;

  private constructor(
    calls: OriginCalls,
    path: string,
    facts: { readonly length: number; readonly etag: string },
    signal: AbortSignal | undefined,
  ) {
    this.#calls = calls;
    this.#path = path;
    this.length = facts.length;
    this.#etag = facts.etag;
    this.#signal = signal;
  }

  /** @throws {AppError} ERR_IMAGE_NOT_FOUND, ERR_ORIGIN_INVALID, and as `OriginCalls.send` */
  static async open(calls: OriginCalls, fileName: string, signal?: AbortSignal): Promise<OriginFile> {
    const path = `${calls.basePath}/${encodeURIComponent(fileName)}`;
    const answer = await calls.send({ method: "HEAD", path, ...(signal !== undefined && { signal }) });
    if (answer.status === 404) throw new AppError("ERR_IMAGE_NOT_FOUND", `the origin has no ${fileName}`);
    if (answer.status !== 200) throw refusalOf(answer, `HEAD ${path}`);
    const [length, etag] = [answer.headers("content-length")[0], answer.headers("etag")[0]];
    if (length === undefined || !/^\d{1,15}$/.test(length) || etag === undefined || etag.startsWith("W/")) {
      throw new AppError("ERR_ORIGIN_INVALID", `the server says no length or no strong tag of ${path}`);
    }
    return new OriginFile(calls, path, { length: Number(length), etag }, signal);
  }

  /** `length` bytes from `offset`, which lie within the file. @throws {AppError} ERR_ORIGIN_CHANGED, as `open` */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of this.stream(offset, offset + length - 1)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** Bytes `first` to `last`, both included. @throws {AppError} as `read` */
  async *stream(first: number, last: number): AsyncGenerator<Uint8Array> {
    for (let at = first; at <= last; at += PART_BYTES) {
      yield await this.#part(at, Math.min(last, at + PART_BYTES - 1));
    }
  }

  async #part(first: number, last: number): Promise<Uint8Array> {
    const what = `GET ${this.#path}`;
    const answer = await this.#calls.send({
      method: "GET",
      path: this.#path,
      headers: { range: `bytes=${first}-${last}`, "if-match": this.#etag },
      // One byte more shows an answer that is too long.
      maxAnswerBytes: last - first + 2,
      ...(this.#signal !== undefined && { signal: this.#signal }),
    });
    if (answer.status === 412 || answer.status === 404) {
      throw new AppError("ERR_ORIGIN_CHANGED", `${what}: the file changed, or went, while it was read`);
    }
    if (answer.status !== 206) throw refusalOf(answer, what);
    const range = parseContentRange(answer.headers("content-range")[0] ?? "");
    if (range?.first !== first || range.last !== last || answer.bytes.length !== last - first + 1) {
      throw new AppError("ERR_ORIGIN_INVALID", `the origin answered ${what} with other bytes than asked for`);
    }
    return answer.bytes;
  }
}
