import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { onTestFinished } from "vitest";
import { TEST_CERT } from "../tls-fixture.js";

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case, values in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

interface Waiter {
  readonly resolve: (answer: RawAnswer | undefined) => void;
  readonly reject: (err: Error) => void;
}

const HEAD_END = "\r\n\r\n";

/** One connection on which a test writes what it likes; answers come in order. */
export class RawClient {
  readonly socket: Socket;
  readonly #answers: RawAnswer[] = [];
  readonly #waiting: Waiter[] = [];
  #text = "";
  #hasEnded = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk.toString("latin1")));
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
    socket.on("error", () => this.#end());
    onTestFinished(() => {
      socket.destroy();
    });
  }

  static async open(
    url: string,
    certificate?: { readonly cert: string; readonly key: string },
  ): Promise<RawClient> {
    const { protocol, hostname: host, port } = new URL(url);
    const to = { host, port: Number(port) };
    const socket =
      protocol === "https:" ? connectTls({ ...to, ca: TEST_CERT, ...certificate }) : connectTcp(to);
    await once(socket, protocol === "https:" ? "secureConnect" : "connect");
    socket.setNoDelay(true);
    return new RawClient(socket);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Resolves when the bytes are with the operating system. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(typeof data === "string" ? Buffer.from(data, "latin1") : data, (err) =>
        err === null || err === undefined ? resolve() : reject(err),
      );
    });
  }

  /** The next answer; undefined when the other side has ended the connection. */
  next(): Promise<RawAnswer | undefined> {
    const answer = this.#answers.shift();
    if (answer !== undefined) return Promise.resolve(answer);
    if (this.#hasEnded) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async ask(data: string | Uint8Array): Promise<RawAnswer | undefined> {
    const answer = this.next();
    // A server that has heard enough may close before all is written.
    this.write(data).catch(() => undefined);
    return answer;
  }

  #take(text: string): void {
    this.#text += text;
    for (;;) {
      const end = this.#text.indexOf(HEAD_END);
      if (end < 0) return;
      const [first = "", ...lines] = this.#text.slice(0, end).split("\r\n");
      const headers = new Map<string, string[]>();
      for (const line of lines) {
        const colon = line.indexOf(":");
        const name = line.slice(0, colon).toLowerCase();
        headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
      }
      const status = Number(first.split(" ")[1]);
      const from = end + HEAD_END.length;
      const size = status === 100 ? 0 : Number(headers.get("content-length")?.[0] ?? 0);
      if (this.#text.length < from + size) return;
      const answer = { status, headers, body: this.#text.slice(from, from + size) };
      this.#text = this.#text.slice(from + size);
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#answers.push(answer);
      else waiter.resolve(answer);
    }
  }

  #end(): void {
    this.#hasEnded = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(undefined);
  }
}

export const TARGET = "/MEDVImages/w7.ckm";

/** The head of a packet, `Content-Length: 0` unless another is among the lines. */
export function packet(lines: readonly string[] = [], target = TARGET): string {
  const length = lines.some((line) => /^content-length:/i.test(line)) ? [] : ["Content-Length: 0"];
  return ["BITS_POST " + target + " HTTP/1.1", "Host: localhost", ...lines, ...length, "", ""].join("\r\n");
}

export function get(target: string, lines: readonly string[] = []): string {
  return [`GET ${target} HTTP/1.1`, "Host: localhost", ...lines, "", ""].join("\r\n");
}
