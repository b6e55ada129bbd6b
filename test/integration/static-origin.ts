import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { basename, join } from "node:path";
import { parseRangeHeader } from "@ckmesh/core";

/** What a client reads of an image with each check: no byte of a version. */
export function isLookAt(image: string, name: string): boolean {
  return name === `${image}.ckm.index` || name === `${image}.control.index`;
}

/** What a fault does with a request; `undefined`: nothing, it is served. */
export type Fault = (request: IncomingMessage, response: ServerResponse, name: string) => boolean;

interface CachedFile {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly mtimeMs: number;
}

/** A stock web server over a folder: ranges and entity tags, nothing else. Counts what it sends. */
export class StaticOrigin {
  readonly #server: Server;
  readonly #dir: string;
  readonly #files = new Map<string, CachedFile>();
  /** File names of all answers, in order. */
  readonly served: string[] = [];
  /** Body bytes of packs and indexes sent. */
  bytes = 0;
  /** The same by the name that was asked for. */
  readonly bytesOf = new Map<string, number>();
  /** Looks at each request first; true: it has answered. */
  fault: Fault | undefined;
  /** Sends the first half of each answer for this name, and the rest when `until` is fulfilled. */
  pause: { readonly name: string; readonly until: Promise<void> } | undefined;
  /** Serves these names in place of others, like an alias. */
  readonly aliases = new Map<string, string>();

  private constructor(server: Server, dir: string) {
    this.#server = server;
    this.#dir = dir;
  }

  static async start(dir: string): Promise<StaticOrigin> {
    const server = createServer();
    const origin = new StaticOrigin(server, dir);
    server.on("request", (request, response) => {
      origin.#answer(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return origin;
  }

  get url(): string {
    const address = this.#server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    return `http://127.0.0.1:${port}/MEDVImages`;
  }

  /** Points `NAME.ckm` and `NAME.ckm.index` to a version. */
  publish(name: string, version: number): void {
    this.aliases.set(`${name}.ckm`, `${name}_${version}.ckm`);
    this.aliases.set(`${name}.ckm.index`, `${name}_${version}.ckm.index`);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }

  /** Kept in memory while the file stays the same. */
  async #read(path: string): Promise<CachedFile | undefined> {
    try {
      const { mtimeMs, size } = await stat(path);
      const known = this.#files.get(path);
      if (known?.mtimeMs === mtimeMs && known.bytes.length === size) return known;
      const bytes = await readFile(path);
      const etag = `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;
      const file = { bytes, etag, mtimeMs };
      this.#files.set(path, file);
      return file;
    } catch {
      return undefined; // not there
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = basename(decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname));
    if (this.fault?.(request, response, asked) === true) return;
    const name = this.aliases.get(asked) ?? asked;
    const file = await this.#read(join(this.#dir, name));
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    const { bytes, etag } = file;
    const { range } = request.headers;
    if ([etag, "*"].includes(request.headers["if-none-match"] ?? "")) {
      response.writeHead(304, { etag }).end();
      return;
    }
    if (request.headers["if-match"] !== undefined && request.headers["if-match"] !== etag) {
      response.writeHead(412).end();
      return;
    }
    const [only] = range === undefined ? [] : (parseRangeHeader(range, bytes.length) ?? []);
    const part = only === undefined ? bytes : bytes.subarray(only.first, only.last + 1);
    this.served.push(asked);
    const headers = { etag, "content-length": part.length };
    if (only === undefined) response.writeHead(200, headers);
    else {
      const contentRange = `bytes ${only.first}-${only.last}/${bytes.length}`;
      response.writeHead(206, { ...headers, "content-range": contentRange });
    }
    const half = this.pause?.name === asked ? part.length >>> 1 : part.length;
    this.#count(asked, half);
    response.write(part.subarray(0, half));
    if (half < part.length) {
      await this.pause?.until;
      if (response.destroyed) return;
      this.#count(asked, part.length - half);
    }
    response.end(part.subarray(half));
  }

  #count(name: string, bytes: number): void {
    this.bytes += bytes;
    this.bytesOf.set(name, (this.bytesOf.get(name) ?? 0) + bytes);
  }
}
