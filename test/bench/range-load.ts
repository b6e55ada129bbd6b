import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** The answers under way come in. */
const SETTLE_MS = 50;
const END = Buffer.from("\r\n\r\n");

/** One kept connection that asks for the same range again and again, doing as little as can be for each answer. */
class RangeLane {
  readonly #socket: Socket;
  readonly #request: Buffer;
  #answerBytes = 0;
  #missing = 0;
  #isRunning = false;
  answers = 0;

  private constructor(socket: Socket, request: Buffer) {
    this.#socket = socket;
    this.#request = request;
  }

  static async open(
    url: URL,
    logOn: (ask: Ask) => Promise<void>,
    each: readonly string[],
  ): Promise<RangeLane> {
    const socket = connect(Number(url.port), "127.0.0.1");
    await once(socket, "connect");
    socket.setNoDelay(true);
    const requestOf = (headers: readonly string[]): Buffer =>
      Buffer.from([`GET ${url.pathname} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n"));
    const ask = async (headers: readonly string[]): Promise<string> => {
      socket.write(requestOf(headers));
      return readAnswer(socket);
    };
    await logOn(ask);
    const head = await ask(each);
    if (!head.startsWith("HTTP/1.1 206")) throw new Error(`no range: ${head}`);
    const lane = new RangeLane(socket, requestOf(each));
    lane.#answerBytes = head.length + Number(/^content-length: (\d+)/im.exec(head)?.[1]);
    socket.on("data", (chunk: Buffer) => lane.#take(chunk));
    return lane;
  }

  start(): void {
    this.#isRunning = true;
    this.#ask();
  }

  /** Lets the answer under way come in. */
  stop(): void {
    this.#isRunning = false;
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(): void {
    this.#missing = this.#answerBytes;
    this.#socket.write(this.#request);
  }

  #take(chunk: Buffer): void {
    if (this.#missing === this.#answerBytes && chunk.toString("latin1", 9, 12) !== "206") {
      throw new Error(`an answer that is no range: ${chunk.toString("latin1", 0, 200)}`);
    }
    this.#missing -= chunk.length;
    if (this.#missing < 0) throw new Error("an answer of another length");
    if (this.#missing > 0) return;
    this.answers += 1;
    if (this.#isRunning) this.#ask();
  }
}

/** Reads one answer, and returns its head. */
function readAnswer(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      socket.off("data", take).off("close", closed);
      settle();
    };
    const closed = (): void => finish(() => reject(new Error("the connection ended before its answer")));
    const take = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf(END);
      if (end < 0) return;
      const head = bytes.toString("latin1", 0, end + END.length);
      const size = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      if (bytes.length >= end + END.length + size) finish(() => resolve(head));
    };
    socket.on("data", take).on("close", closed);
  });
}

export type Ask = (headers: readonly string[]) => Promise<string>;

/** Kept connections that ask for ranges. */
export class RangeLoad {
  readonly #lanes: readonly RangeLane[];

  private constructor(lanes: readonly RangeLane[]) {
    this.#lanes = lanes;
  }

  /** @param each header lines of every request; @param logOn what a connection has to say first */
  static async open(
    url: string,
    connections: number,
    each: readonly string[],
    logOn: (ask: Ask) => Promise<void> = async () => {},
  ): Promise<RangeLoad> {
    const lanes: RangeLane[] = [];
    // One after the other: a handshake takes less than the noise of many.
    for (let n = 0; n < connections; n += 1) lanes.push(await RangeLane.open(new URL(url), logOn, each)); // oxlint-disable-line no-await-in-loop
    return new RangeLoad(lanes);
  }

  /** Answers per second over `ms`. */
  async run(ms: number): Promise<number> {
    const before = this.#answers();
    const start = performance.now();
    for (const lane of this.#lanes) lane.start();
    await delay(ms);
    const perSecond = ((this.#answers() - before) * 1000) / (performance.now() - start);
    for (const lane of this.#lanes) lane.stop();
    await delay(SETTLE_MS);
    return perSecond;
  }

  close(): void {
    for (const lane of this.#lanes) lane.close();
  }

  #answers(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.answers, 0);
  }
}
