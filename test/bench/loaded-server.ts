import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { stop } from "./wrk-load.js";

export interface Case {
  readonly label: string;
  readonly headers: string;
  /** Of one connection in one turn. */
  readonly requests: number;
}

export interface Turn {
  readonly ms: number;
  readonly cpuUs: number;
}

const HEAD_END = Buffer.from("\r\n\r\n");

/** A server in a process of its own, with the connections that load it. */
export class LoadedServer {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #lanes: readonly Lane[];

  private constructor(name: string, child: ChildProcess, lanes: readonly Lane[]) {
    this.name = name;
    this.#child = child;
    this.#lanes = lanes;
  }

  /** @param child tells its CPU time when asked (`child-cpu.ts`) */
  static async open(
    name: string,
    child: ChildProcess,
    url: string,
    connections: number,
  ): Promise<LoadedServer> {
    const lanes = Array.from({ length: connections }, () => Lane.open(new URL(url)));
    return new LoadedServer(name, child, await Promise.all(lanes));
  }

  async turn({ headers, requests }: Case): Promise<Turn> {
    const before = await this.#cpuUs();
    const start = performance.now();
    await Promise.all(this.#lanes.map((lane) => lane.ask(headers, requests)));
    const ms = performance.now() - start;
    return { ms, cpuUs: (await this.#cpuUs()) - before };
  }

  async close(): Promise<void> {
    for (const lane of this.#lanes) lane.close();
    await stop(this.#child);
  }

  async #cpuUs(): Promise<number> {
    const answer = once(this.#child, "message");
    this.#child.send("cpu");
    const [message]: unknown[] = await answer;
    if (typeof message === "object" && message !== null && "cpuUs" in message) return Number(message.cpuUs);
    throw new Error("the server did not tell its CPU time");
  }
}

/** One kept connection that asks for the same again and again. */
class Lane {
  readonly #socket: Socket;
  readonly #path: string;
  #headBytes = Buffer.alloc(0);
  #missing = 0;
  #done: (() => void) | undefined;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
  }

  static async open({ protocol, port, pathname }: URL): Promise<Lane> {
    const to = { host: "127.0.0.1", port: Number(port) };
    const isTls = protocol === "https:";
    // The certificate was made for this run, and says nothing of who is there.
    const socket = isTls ? connectTls({ ...to, rejectUnauthorized: false }) : connectTcp(to);
    await once(socket, isTls ? "secureConnect" : "connect");
    return new Lane(socket, pathname);
  }

  /** One request after the other. */
  async ask(headers: string, times: number): Promise<void> {
    for (let n = 0; n < times; n += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await new Promise<void>((resolve) => {
        this.#done = resolve;
        this.#socket.write(`GET ${this.#path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    let bytes = chunk.length;
    if (this.#missing === 0) {
      this.#headBytes = Buffer.concat([this.#headBytes, chunk]);
      const end = this.#headBytes.indexOf(HEAD_END);
      if (end < 0) return;
      const head = this.#headBytes.toString("latin1", 0, end);
      if (!/^HTTP\/1\.1 20[06] /.test(head)) throw new Error(`no file: ${head}`);
      this.#missing = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
      bytes = this.#headBytes.length - end - HEAD_END.length;
      this.#headBytes = Buffer.alloc(0);
    }
    this.#missing -= bytes;
    if (this.#missing < 0) throw new Error("an answer that is too long");
    if (this.#missing === 0) this.#done?.();
  }
}
