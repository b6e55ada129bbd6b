import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface RawAnswer {
  readonly status: number;
  /** Lower-case names; values of repeated ones in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Buffer;
}

export interface RawConnectionOptions {
  /** http:// or https://; its path is not used. */
  readonly url: string;
  /** PEM; https only. */
  readonly ca?: string | Buffer;
  /** Certificate of the client, PEM; https only. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** Another address of 127.0.0.0/8 to come from: another client to the origin. */
  readonly localAddress?: string;
}

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const HEADER_END = Buffer.from("\r\n\r\n");
const IDLE_TIMEOUT_MS = 20_000;

/**
 * One TCP or TLS connection whose requests are written as they are given: a client that keeps no rules but its own.
 * Answers come in order; requests may be pipelined.
 */
export class RawConnection {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (answer: RawAnswer) => void; reject: (err: Error) => void }[] = [];
  #buffer: Buffer = Buffer.alloc(0);
  #error: Error | undefined;
  #isEnding = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy(new Error("nothing came for 20 s")));
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#deliver();
    });
    socket.on("error", (err) => {
      this.#error = err;
    });
    socket.on("close", () => this.#fail(this.#error ?? new Error("the connection was closed")));
  }

  static async open(options: RawConnectionOptions): Promise<RawConnection> {
    const { protocol, hostname, port } = new URL(options.url);
    const { url: _, ...rest } = options;
    const to = { ...rest, host: "127.0.0.1", port: Number(port) };
    const isTls = protocol === "https:";
    const socket = isTls ? connectTls({ ...to, servername: hostname }) : connectTcp(to);
    await once(socket, isTls ? "secureConnect" : "connect");
    socket.setNoDelay(true);
    return new RawConnection(socket);
  }

  /** False also when the last answer said that it is the last. */
  get isOpen(): boolean {
    return !this.#isEnding && !this.#socket.destroyed && this.#socket.readyState === "open";
  }

  /** Header lines without line ends. @param path with its leading slash */
  get(path: string, headers: readonly string[] = []): Promise<RawAnswer> {
    return this.send(["GET " + path + " HTTP/1.1", "Host: localhost", ...headers, "", ""].join("\r\n"));
  }

  /** Writes bytes that are (a part of) one request whose answer is awaited. */
  send(request: string | Uint8Array): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) {
        reject(this.#error ?? new Error("the connection was closed"));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#socket.write(request);
    });
  }

  /** Writes more of a request that `send` began. */
  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Resolves when all that was written has left this process. */
  async flushed(): Promise<void> {
    if (this.#socket.writableLength > 0) await once(this.#socket, "drain");
  }

  close(): void {
    this.#socket.destroy();
  }

  #deliver(): void {
    for (;;) {
      const parsed = parseAnswer(this.#buffer);
      if (parsed === undefined) {
        if (this.#buffer.length > MAX_ANSWER_BYTES) this.#socket.destroy(new Error("an answer without end"));
        return;
      }
      this.#buffer = this.#buffer.subarray(parsed.length);
      if (parsed.answer.headers.get("connection")?.join().toLowerCase() === "close") this.#isEnding = true;
      this.#waiting.shift()?.resolve(parsed.answer);
    }
  }

  #fail(err: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(err);
  }
}

function parseAnswer(bytes: Buffer): { answer: RawAnswer; length: number } | undefined {
  const end = bytes.indexOf(HEADER_END);
  if (end < 0) return undefined;
  const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  const status = Number(first.split(" ")[1]);
  const hasBody = status !== 204 && status !== 304;
  const size = hasBody ? Number(headers.get("content-length")?.[0] ?? 0) : 0;
  const start = end + HEADER_END.length;
  if (bytes.length < start + size) return undefined;
  return { answer: { status, headers, body: bytes.subarray(start, start + size) }, length: start + size };
}

/** The token of a challenge `SCHEME token`; undefined when there is none. */
export function challengeToken(answer: RawAnswer, scheme: string): Buffer | undefined {
  const prefix = `${scheme.toLowerCase()} `;
  const line = (answer.headers.get("www-authenticate") ?? []).find((l) => l.toLowerCase().startsWith(prefix));
  return line === undefined ? undefined : Buffer.from(line.slice(prefix.length), "base64");
}

export function authorization(scheme: string, token: Uint8Array): string {
  return `Authorization: ${scheme} ${Buffer.from(token).toString("base64")}`;
}
