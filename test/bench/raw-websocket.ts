import { connect, type Socket } from "node:net";

const HANDSHAKE_END = "\r\n\r\n";

/** The cheapest client that speaks RFC 6455: binary messages up to 64 KiB, no checks. For benches only. */
export class RawWebSocket {
  readonly #socket: Socket;
  readonly #onMessage: (payload: Buffer) => void;
  #isOpen = false;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, onMessage: (payload: Buffer) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
  }

  /** @param localAddress source address, so that one machine can make more connections than it has ports */
  static open(
    port: number,
    localAddress: string,
    onMessage: (socket: RawWebSocket, payload: Buffer) => void,
  ): Promise<RawWebSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
      const made: RawWebSocket = new RawWebSocket(socket, (payload) => onMessage(made, payload));
      socket.on("error", reject);
      socket.on("data", (data) => {
        const wasOpen = made.#isOpen;
        made.#take(data);
        if (!wasOpen && made.#isOpen) resolve(made);
      });
      socket.write(
        `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==${HANDSHAKE_END}`,
      );
    });
  }

  send(payload: Uint8Array): void {
    const isLong = payload.length > 125;
    const frame = Buffer.alloc((isLong ? 8 : 6) + payload.length);
    // Binary, final, masked with zeros: the server still unmasks.
    frame[0] = 0x82;
    frame[1] = 0x80 | (isLong ? 126 : payload.length);
    if (isLong) frame.writeUInt16BE(payload.length, 2);
    frame.set(payload, frame.length - payload.length);
    this.#socket.write(frame);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    let bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    if (!this.#isOpen) {
      const end = bytes.indexOf(HANDSHAKE_END);
      if (end < 0) {
        this.#rest = bytes;
        return;
      }
      this.#isOpen = true;
      bytes = bytes.subarray(end + HANDSHAKE_END.length);
    }
    for (;;) {
      const size = frameSize(bytes);
      if (size === undefined || bytes.length < size.header + size.payload) break;
      const end = size.header + size.payload;
      const isMessage = ((bytes[0] ?? 0) & 0x0f) < 8;
      if (isMessage) this.#onMessage(bytes.subarray(size.header, end));
      bytes = bytes.subarray(end);
    }
    // A copy: what is left of a large read must not hold all of it.
    this.#rest = bytes.length === 0 ? EMPTY : Buffer.from(bytes);
  }
}

const EMPTY = Buffer.alloc(0);

function frameSize(bytes: Buffer): { header: number; payload: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  if (short < 126) return { header: 2, payload: short };
  return bytes.length < 4 ? undefined : { header: 4, payload: bytes.readUInt16BE(2) };
}
