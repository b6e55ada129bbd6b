import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** A request as the server below reads it. */
interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

interface Session {
  readonly path: string;
  total: number | undefined;
  bytes: Buffer;
}

/** What a test has the server do. */
export interface BitsServerBehaviour {
  /** An origin of ours: the list of its uploads, as JSON; absent: no such path. */
  uploads?: () => unknown;
  /** An origin of ours: its version ids by number. */
  versions?: Readonly<Record<number, string>>;
  /** Answers in place of the server; undefined: it answers itself. `packet` is GET for a question for the list. */
  answer?: (packet: string, request: Request) => string | undefined;
  /** Breaks the connection when so many bytes of a fragment's body arrived, once. */
  breakAfter?: number;
  /** Like a server that has the bytes of this file: fills gaps from it but for these runs. */
  kept?: { readonly file: Buffer; readonly missing: readonly (readonly [number, number])[] };
}

/** A BITS server that keeps files in memory, with HTTP by hand: Node's takes no BITS_POST. */
export class BitsServer {
  readonly behaviour: BitsServerBehaviour = {};
  /** Names of the packets that were answered, in order. */
  readonly packets: string[] = [];
  readonly ranges: string[] = [];
  readonly files = new Map<string, Buffer>();
  bodyBytes = 0;
  readonly #sessions = new Map<string, Session>();
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
    this.#serve(socket).catch((err: unknown) => socket.destroy(err instanceof Error ? err : undefined));
  });

  async start(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("unreachable: no port");
    return `http://127.0.0.1:${address.port}/images`;
  }

  async close(): Promise<void> {
    this.breakConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  forgetSessions(): void {
    this.#sessions.clear();
  }

  get openSessions(): number {
    return this.#sessions.size;
  }

  async #serve(socket: Socket): Promise<void> {
    let buffered = Buffer.alloc(0);
    let request: { head: Omit<Request, "body">; length: number } | undefined;
    for await (const part of socket) {
      if (!(part instanceof Buffer)) throw new Error("unreachable: no bytes");
      buffered = Buffer.concat([buffered, part]);
      for (;;) {
        const end = buffered.indexOf("\r\n\r\n");
        if (request === undefined) {
          if (end < 0) break;
          request = parseHead(buffered.toString("latin1", 0, end));
          buffered = buffered.subarray(end + 4);
        }
        const { head, length } = request;
        const { breakAfter } = this.behaviour;
        if (breakAfter !== undefined && length > 0 && buffered.length >= Math.min(breakAfter, length)) {
          delete this.behaviour.breakAfter;
          socket.destroy();
          return;
        }
        if (buffered.length < length) break;
        const body = buffered.subarray(0, length);
        buffered = buffered.subarray(length);
        request = undefined;
        socket.write(this.#answer({ ...head, body }));
      }
    }
  }

  #answer(request: Request): string {
    const { method, path, headers, body } = request;
    const packet = method === "GET" ? method : (headers["bits-packet-type"] ?? "");
    const special = this.behaviour.answer?.(packet, request);
    if (method === "GET") {
      if (special !== undefined) return special;
      if (path.startsWith("/ckmesh/api/images/")) return this.#image();
      const list = this.behaviour.uploads?.();
      return list === undefined ? reply(404, [], "<p>not found") : reply(200, [], JSON.stringify(list));
    }
    this.packets.push(packet);
    this.bodyBytes += body.length;
    if (special !== undefined) return special;
    const ack = (more: readonly string[] = []): string => reply(200, ["BITS-Packet-Type: Ack", ...more]);
    if (packet === "Ping") return ack();
    if (packet === "Create-Session") {
      const id = `{${randomUUID().toUpperCase()}}`;
      this.#sessions.set(id, { path, total: undefined, bytes: Buffer.alloc(0) });
      return ack(["BITS-Protocol: {7df0354d-249b-430f-820d-3d2a9bef4931}", `BITS-Session-Id: ${id}`]);
    }
    const id = headers["bits-session-id"] ?? "";
    const session = this.#sessions.get(id);
    if (session === undefined || session.path !== path)
      return reply(500, ["BITS-Packet-Type: Ack", "BITS-Error-Code: 0x8020001F"]);
    const idField = `BITS-Session-Id: ${id}`;
    if (packet === "Cancel-Session") {
      this.#sessions.delete(id);
      return ack([idField]);
    }
    if (packet === "Close-Session") {
      if (session.bytes.length !== session.total)
        return reply(400, ["BITS-Packet-Type: Ack", "BITS-Error-Code: 0x80070057"]);
      this.files.set(path, session.bytes);
      this.#sessions.delete(id);
      return ack([idField]);
    }
    return this.#fragment(session, idField, headers["content-range"] ?? "", body);
  }

  #image(): string {
    const { versions } = this.behaviour;
    if (versions === undefined) return reply(404, [], '{"code":"ERR_IMAGE_NOT_FOUND","message":"none"}');
    const at = "2026-01-01T00:00:00.000Z";
    const list = Object.entries(versions).map(([version, id]) => ({
      version: Number(version),
      id,
      createdAt: at,
      publishedAt: at,
      opaque: false,
      pack: { bytes: 1 },
      index: { bytes: 1 },
    }));
    return reply(200, [], JSON.stringify({ name: "Win11", newest: 2, next: 7, versions: list }));
  }

  #fragment(session: Session, idField: string, range: string, body: Buffer): string {
    this.ranges.push(range);
    const [, first = "", , total = ""] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range) ?? [];
    session.total = Number(total);
    const received = session.bytes.length;
    if (Number(first) > received)
      return reply(416, ["BITS-Packet-Type: Ack", idField, `BITS-Received-Content-Range: ${received}`]);
    session.bytes = Buffer.concat([session.bytes, body.subarray(received - Number(first))]);
    const missing = this.#fill(session, session.total);
    return reply(200, [
      "BITS-Packet-Type: Ack",
      idField,
      `BITS-Received-Content-Range: ${session.bytes.length}`,
      ...(missing === undefined ? [] : [`Ckmesh-Missing: ${missing.join("-")}`]),
    ]);
  }

  /** @returns the next run of bytes that it does not have */
  #fill(session: Session, total: number): readonly [number, number] | undefined {
    const { kept } = this.behaviour;
    if (kept === undefined || kept.file.length !== total) return undefined;
    const at = session.bytes.length;
    const next = kept.missing.find(([, last]) => last >= at);
    const to = next === undefined ? total : Math.max(at, next[0]);
    session.bytes = Buffer.concat([session.bytes, kept.file.subarray(at, to)]);
    return next === undefined ? undefined : [Math.max(at, next[0]), next[1]];
  }
}

/** An answer. */
export function reply(status: number, headers: readonly string[], body = ""): string {
  return [
    `HTTP/1.1 ${status} Whatever`,
    ...headers,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

function parseHead(text: string): { head: Omit<Request, "body">; length: number } {
  const [line = "", ...fields] = text.split("\r\n");
  const [method = "", path = ""] = line.split(" ");
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(":");
    headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
  }
  return { head: { method, path, headers }, length: Number(headers["content-length"] ?? 0) };
}
