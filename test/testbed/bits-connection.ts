import { type RawAnswer, RawConnection, type RawConnectionOptions } from "./raw-connection.js";

/** The only version of the protocol ([MC-BUP] 2.2.2.2). */
export const BITS_PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}";

/** Error codes of the protocol as their headers write them. */
export const CODE = {
  sessionNotFound: 0x8020001f,
  accessDenied: 0x80070005,
  invalidArgument: 0x80070057,
  tooLarge: 0x80200020,
  diskFull: 0x80070070,
} as const;

/** A request as a test wants it: nothing is added but what is said here. */
export interface Packet {
  readonly path: string;
  /** BITS-Packet-Type; absent: no such header. */
  readonly type?: string;
  readonly sessionId?: string;
  /** Further lines without line ends. */
  readonly headers?: readonly string[];
  readonly body?: Uint8Array | string;
  /** Default: the length of `body`; null: no such header. */
  readonly contentLength?: string | null;
}

export interface BitsReply {
  readonly status: number;
  /** Lower-case names; values of repeated ones in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** The error code that both headers agree on. */
  readonly code: number | undefined;
  readonly sessionId: string | undefined;
  /** BITS-Received-Content-Range. */
  readonly received: number | undefined;
}

export interface Range {
  readonly first: number;
  readonly total: number;
  readonly bytes: Uint8Array;
}

/** Basic credentials as a header line. */
export function basic(user: { readonly account: string; readonly password: string }): string {
  return `Authorization: Basic ${Buffer.from(`${user.account}:${user.password}`).toString("base64")}`;
}

/** The request as it travels. */
export function packetBytes(packet: Packet, authorization?: string): Buffer {
  const { path, type, sessionId, headers = [], body = "" } = packet;
  const bytes = Buffer.from(body);
  const length = packet.contentLength === undefined ? String(bytes.length) : packet.contentLength;
  const lines = [
    `BITS_POST ${path} HTTP/1.1`,
    "Host: localhost",
    ...(type === undefined ? [] : [`BITS-Packet-Type: ${type}`]),
    ...(sessionId === undefined ? [] : [`BITS-Session-Id: ${sessionId}`]),
    ...(length === null ? [] : [`Content-Length: ${length}`]),
    ...(authorization === undefined ? [] : [authorization]),
    ...headers,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), bytes]);
}

/** A fragment as a client sends it. */
export function fragmentPacket(path: string, sessionId: string, { first, total, bytes }: Range): Packet {
  const last = first + bytes.length - 1;
  const headers = [`Content-Range: bytes ${first}-${last}/${total}`];
  return { path, type: "Fragment", sessionId, headers, body: bytes };
}

/** A client of BITS that writes what the test says, and holds every answer to what all answers must keep. */
export class BitsConnection {
  readonly raw: RawConnection;
  readonly #authorization: string | undefined;

  private constructor(raw: RawConnection, authorization: string | undefined) {
    this.raw = raw;
    this.#authorization = authorization;
  }

  /** @param authorization a header line that goes with every packet */
  static async open(options: RawConnectionOptions, authorization?: string): Promise<BitsConnection> {
    return new BitsConnection(await RawConnection.open(options), authorization);
  }

  /** @throws when the answer is none of BITS */
  async send(packet: Packet): Promise<BitsReply> {
    return toReply(await this.raw.send(packetBytes(packet, this.#authorization)));
  }

  /** The same without a look at the answer: those of HTTP itself, 401 and the like, may be ordinary ones. */
  async sendPlain(packet: Packet): Promise<RawAnswer> {
    return this.raw.send(packetBytes(packet, this.#authorization));
  }

  get(path: string, headers: readonly string[] = []): Promise<RawAnswer> {
    const own = this.#authorization === undefined ? [] : [this.#authorization];
    return this.raw.get(path, [...own, ...headers]);
  }

  ping(path: string): Promise<BitsReply> {
    return this.send({ path, type: "Ping" });
  }

  tryCreate(path: string, protocols = BITS_PROTOCOL): Promise<BitsReply> {
    return this.send({ path, type: "Create-Session", headers: [`BITS-Supported-Protocols: ${protocols}`] });
  }

  /** @returns the id of a new session; throws when there is none */
  async create(path: string): Promise<string> {
    const { status, code, sessionId } = await this.tryCreate(path);
    if (status !== 200 || sessionId === undefined)
      throw new Error(`Create-Session of ${path} was answered ${status} ${code?.toString(16) ?? ""}`);
    return sessionId;
  }

  fragment(path: string, sessionId: string, range: Range): Promise<BitsReply> {
    return this.send(fragmentPacket(path, sessionId, range));
  }

  closeSession(path: string, sessionId: string): Promise<BitsReply> {
    return this.send({ path, type: "Close-Session", sessionId });
  }

  cancel(path: string, sessionId: string): Promise<BitsReply> {
    return this.send({ path, type: "Cancel-Session", sessionId });
  }

  /** A whole file in one fragment; throws unless each step is answered 200. */
  async upload(path: string, bytes: Uint8Array): Promise<void> {
    const id = await this.create(path);
    const { status } = await this.fragment(path, id, { first: 0, total: bytes.length, bytes });
    const closed = await this.closeSession(path, id);
    if (status !== 200 || closed.status !== 200)
      throw new Error(`the upload of ${path} was answered ${status}, then ${closed.status}`);
  }

  close(): void {
    this.raw.close();
  }
}

/** Holds an answer to [MC-BUP] 2.2.3: an Ack without body, its error code under both names or not at all. */
export function toReply({ status, headers, body }: RawAnswer): BitsReply {
  const text = `an answer ${status}`;
  if (headers.get("bits-packet-type")?.join() !== "Ack") throw new Error(`${text} that is no Ack`);
  if (headers.get("content-length")?.join() !== "0" || body.length > 0)
    throw new Error(`${text} with a body, or without Content-Length: 0`);
  const [byName, byOtherName] = [headers.get("bits-error-code")?.join(), headers.get("bits-error")?.join()];
  if (byName !== byOtherName) throw new Error(`${text} with two codes: ${byName} and ${byOtherName}`);
  if (byName !== undefined && !/^0x[0-9a-f]{1,8}$/i.test(byName))
    throw new Error(`${text} with code ${byName}`);
  const context = headers.get("bits-error-context")?.join();
  const isWhole = byName === undefined || context === "0x5" || context === "0x7";
  if (!isWhole) throw new Error(`${text} with context ${context}`);
  if (status === 200 && (byName !== undefined || context !== undefined))
    throw new Error(`${text} with the headers of an error`);
  return {
    status,
    headers,
    code: byName === undefined ? undefined : Number(byName),
    sessionId: headers.get("bits-session-id")?.join(),
    received: decimal(headers.get("bits-received-content-range")?.join()),
  };
}

function decimal(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new Error(`BITS-Received-Content-Range: ${text}`);
  return Number(text);
}
