import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AppError, parseRangeHeader, silentLogger } from "@ckmesh/core";
import { afterEach } from "vitest";
import { OriginHttp, type OriginHttpOptions, type RangeRequest } from "../src/origin/origin-http.js";
import { realClock } from "./test-clock.js";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What the test origins serve under any name. */
export const content = randomBytes(300_000);
export const ETAG = '"v1"';
/** Run after each test, last first. */
export const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A stock server's behaviour for one file. */
export const serveFile: Handler = (request, response) => {
  if (request.headers["if-none-match"] === ETAG) {
    response.writeHead(304, { etag: ETAG }).end();
    return;
  }
  const [range] = parseRangeHeader(request.headers.range ?? "", content.length) ?? [];
  const headers = { etag: ETAG, "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT" };
  if (range === undefined) {
    response.writeHead(200, { ...headers, "content-length": content.length }).end(content);
    return;
  }
  const part = content.subarray(range.first, range.last + 1);
  response
    .writeHead(206, {
      ...headers,
      "content-length": part.length,
      "content-range": `bytes ${range.first}-${range.last}/${content.length}`,
    })
    .end(part);
};

export async function start(server: Server, scheme = "http"): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  closers.push(
    () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  );
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("unreachable: no port");
  return `${scheme}://127.0.0.1:${address.port}/MEDVImages`;
}

export function client(baseUrl: string, options: Partial<OriginHttpOptions> = {}): OriginHttp {
  const origin = new OriginHttp({ baseUrl, logger: silentLogger, clock: realClock, ...options });
  closers.push(() => origin.close());
  return origin;
}

export async function serve(handler: Handler, options: Partial<OriginHttpOptions> = {}): Promise<OriginHttp> {
  return client(await start(createServer(handler)), options);
}

/** Fetches a range and gives what arrived, and the error that ended it. */
export async function fetchPart(
  origin: OriginHttp,
  first: number,
  last: number,
  more: Partial<RangeRequest> = {},
): Promise<{
  readonly bytes: Buffer;
  readonly offsets: readonly number[];
  readonly err: AppError | undefined;
}> {
  const parts: Uint8Array[] = [];
  const offsets: number[] = [];
  const err = await origin
    .fetchRange("a.ckm", {
      first,
      last,
      onData(bytes, offset) {
        parts.push(bytes);
        offsets.push(offset);
      },
      ...more,
    })
    .then(
      () => undefined,
      (cause: AppError) => cause,
    );
  return { bytes: Buffer.concat(parts), offsets, err };
}
