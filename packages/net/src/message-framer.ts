import { AppError, rowBlocks } from "@ckmesh/core";

/** Judges each message by its first bytes, before its body is buffered. All three may throw an AppError. */
export interface FrameCheck {
  /** The 68 bytes of the BEP 3 handshake. */
  handshake(bytes: Uint8Array): void;
  /** A message of `length` bytes (id included) begins. Returns how many of them `admit` wants to see, ≤ 13. */
  size(id: number, length: number): number;
  /** The bytes that `size` asked for have come; false: skip this message. */
  admit(head: Uint8Array, length: number): boolean;
  keepAlive(): void;
}

/** BEP 3: length byte, protocol name, reserved bits, infohash, peer id. */
export const HANDSHAKE_BYTES = 68;
const LENGTH_BYTES = 4;
const MAX_HEAD_BYTES = 13;

/**
 * Cuts a byte stream into whole BEP 3 messages: the handshake first, then messages with their length prefix.
 * Slices are copied once into a buffer of the message's size, which is known to be legal by then.
 */
export class MessageFramer {
  readonly #check: FrameCheck;
  readonly #deliver: (message: Uint8Array) => void;
  /** Length prefix and first bytes of the message at hand. */
  readonly #head = Buffer.alloc(LENGTH_BYTES + MAX_HEAD_BYTES);
  #headLength = 0;
  #headWanted = LENGTH_BYTES;
  #length = 0;
  /** The message at hand, prefix included, once it was admitted; the handshake at the start. */
  #message: Buffer | undefined = Buffer.allocUnsafe(HANDSHAKE_BYTES);
  #filled = 0;
  #skip = 0;
  #isHandshake = true;
  #stopped = false;
  #begun = 0;

  /** @param deliver gets each admitted message whole, prefix included; the buffer is the receiver's, and of `rowBlocks` */
  constructor(check: FrameCheck, deliver: (message: Uint8Array) => void) {
    this.#check = check;
    this.#deliver = deliver;
  }

  /** True while a message has begun and not ended. */
  get isMidMessage(): boolean {
    return this.#headLength > 0 || this.#message !== undefined || this.#skip > 0;
  }

  /** Messages that began so far: a change tells a new one from the rest of an old one. */
  get begun(): number {
    return this.#begun;
  }

  /** Nothing is delivered any more. */
  stop(): void {
    this.#stopped = true;
    this.#message = undefined;
  }

  /** @throws {AppError} what the check throws: the stream cannot be used after that */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.byteLength && !this.#stopped) {
      if (this.#skip > 0) {
        const taken = Math.min(this.#skip, chunk.byteLength - at);
        this.#skip -= taken;
        at += taken;
      } else if (this.#message === undefined) {
        at = this.#fillHead(chunk, at);
      } else {
        at = this.#fillMessage(this.#message, chunk, at);
      }
    }
  }

  #fillHead(chunk: Uint8Array, from: number): number {
    const to = Math.min(chunk.byteLength, from + this.#headWanted - this.#headLength);
    if (this.#headLength === 0) this.#begun += 1;
    this.#head.set(chunk.subarray(from, to), this.#headLength);
    this.#headLength += to - from;
    if (this.#headLength < this.#headWanted) return to;
    if (this.#headWanted === LENGTH_BYTES) {
      this.#length = this.#head.readUInt32BE(0);
      if (this.#length === 0) {
        this.#headLength = 0;
        this.#check.keepAlive();
      } else {
        this.#headWanted = LENGTH_BYTES + 1;
      }
    } else if (this.#headWanted === LENGTH_BYTES + 1) {
      const wanted = this.#check.size(this.#head[LENGTH_BYTES] ?? 0, this.#length);
      if (wanted > MAX_HEAD_BYTES || wanted > this.#length)
        throw new AppError("ERR_WIRE_MESSAGE_INVALID", `message of ${this.#length} bytes is too short`);
      this.#headWanted = LENGTH_BYTES + wanted;
      if (wanted === 1) this.#admit();
    } else {
      this.#admit();
    }
    return to;
  }

  #admit(): void {
    const got = this.#headLength;
    this.#headLength = 0;
    this.#headWanted = LENGTH_BYTES;
    if (!this.#check.admit(this.#head.subarray(LENGTH_BYTES, got), this.#length)) {
      this.#skip = LENGTH_BYTES + this.#length - got;
      return;
    }
    const message = rowBlocks.take(LENGTH_BYTES + this.#length);
    this.#head.copy(message, 0, 0, got);
    this.#message = message;
    this.#filled = got;
    if (got === message.byteLength) this.#complete(message);
  }

  #fillMessage(message: Buffer, chunk: Uint8Array, from: number): number {
    const to = Math.min(chunk.byteLength, from + message.byteLength - this.#filled);
    message.set(chunk.subarray(from, to), this.#filled);
    this.#filled += to - from;
    if (this.#filled === message.byteLength) this.#complete(message);
    return to;
  }

  #complete(message: Buffer): void {
    this.#message = undefined;
    this.#filled = 0;
    if (this.#isHandshake) {
      this.#isHandshake = false;
      this.#check.handshake(message);
    }
    this.#deliver(message);
  }
}
