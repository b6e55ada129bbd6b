import { AppError, type Clock, equalBytes } from "@ckmesh/core";
import { MAX_CK_MESSAGE_BYTES, MAX_REQUEST_BYTES } from "@ckmesh/wire";
import { checkExtendedHandshake, MAX_EXTENDED_HANDSHAKE_BYTES } from "./bencode-check.js";
import { type FrameCheck, HANDSHAKE_BYTES } from "./message-framer.js";
import { RequestLedger } from "./request-ledger.js";
import { TokenBucket } from "./token-bucket.js";

/** The rows of one version, as far as this side knows them. */
export interface RowSizes {
  /** All rows: index pieces and frames. */
  readonly rows: number;
  /**
   * Rows in a legal request or piece of `length` bytes from `firstRow` on; undefined when it does not end on
   * a row's border, crosses files, or those rows' sizes are not known yet.
   */
  rowsLength(firstRow: number, length: number): number | undefined;
}

export interface WireGuardOptions {
  readonly sizes: RowSizes;
  /** 20 bytes. */
  readonly infohash: Uint8Array;
  /** This client's id; whoever greets with it is this client itself. */
  readonly ownPeerId: Uint8Array;
  readonly clock: Clock;
  /** True once the peer proved its identity. A peer is up, and speaks, only after this side answered its probes. */
  isProven(): boolean;
  /** True while this side chokes the peer: its requests are refused. */
  isChoking(): boolean;
  /** A request of the peer is not taken: answer it with a reject. */
  onRefused(row: number, length: number): void;
}

/** Message ids: BEP 3, BEP 6 (13 to 17), BEP 10 (20). */
const MESSAGE_ID = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  notInterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  port: 9,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
} as const;

/** The one extension and the id under which we listen for it. */
export const CK_EXTENSION = "ck";
const CK_EXTENSION_ID = 1;

/** Exact length by id, id byte included. */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [MESSAGE_ID.choke, 1],
  [MESSAGE_ID.unchoke, 1],
  [MESSAGE_ID.interested, 1],
  [MESSAGE_ID.notInterested, 1],
  [MESSAGE_ID.have, 5],
  [MESSAGE_ID.request, 13],
  [MESSAGE_ID.cancel, 13],
  [MESSAGE_ID.port, 3],
  [MESSAGE_ID.suggest, 5],
  [MESSAGE_ID.haveAll, 1],
  [MESSAGE_ID.haveNone, 1],
  [MESSAGE_ID.reject, 13],
  [MESSAGE_ID.allowedFast, 5],
]);

/** Open requests of one peer, in number and bytes (specs: peer wire 1.4.4); beyond, they are rejected. */
const MAX_OPEN_REQUESTS = 64;
const MAX_OPEN_BYTES = 8 * 1024 * 1024;
/** Requests that had to be rejected: a peer may be out of step for a moment, not for long. */
const REFUSALS = { ratePerSec: 50, burst: 4 * MAX_OPEN_REQUESTS };
/** All other small messages: choke, have, ck … */
const SMALL_MESSAGES = { ratePerSec: 500, burst: 2000 };

/** BEP 3 protocol name with its length byte. */
const PROTOCOL = Buffer.from("\u0013BitTorrent protocol", "latin1");

/**
 * Decides what of a peer's stream may reach the library behind it (specs: peer wire 1.4): exact lengths,
 * rows in range, only pieces that were asked for, bounded requests, a checked extended handshake. A thrown
 * error ends the link.
 */
export class WireGuard implements FrameCheck {
  /** Requests of this side. */
  readonly asked = new RequestLedger();
  /** Requests of the peer. */
  readonly open = new RequestLedger();
  /** The peer's id from its handshake, 20 bytes. */
  peerIdPrefix: Uint8Array | undefined;
  readonly #options: WireGuardOptions;
  readonly #refusals: TokenBucket;
  readonly #small: TokenBucket;
  #isBitfieldSeen = false;
  #isExtendedSeen = false;

  constructor(options: WireGuardOptions) {
    this.#options = options;
    const now = options.clock.now();
    this.#refusals = new TokenBucket(REFUSALS.ratePerSec, REFUSALS.burst, now);
    this.#small = new TokenBucket(SMALL_MESSAGES.ratePerSec, SMALL_MESSAGES.burst, now);
  }

  handshake(bytes: Uint8Array): void {
    if (bytes.byteLength !== HANDSHAKE_BYTES || !equalBytes(bytes.subarray(0, 20), PROTOCOL)) {
      throw invalid("no BitTorrent handshake");
    }
    // BEP 10 and BEP 6, reserved bits 20 and 61.
    if (((bytes[25] ?? 0) & 0x10) === 0 || ((bytes[27] ?? 0) & 0x04) === 0) {
      throw invalid("a handshake without extension protocol or fast extension");
    }
    if (!equalBytes(bytes.subarray(28, 48), this.#options.infohash))
      throw invalid("the handshake of another swarm");
    if (equalBytes(bytes.subarray(48, 68), this.#options.ownPeerId.subarray(0, 20))) throw isOurselves();
    this.peerIdPrefix = new Uint8Array(bytes.subarray(48, 68));
  }

  size(id: number, length: number): number {
    const exact = LENGTHS.get(id);
    if (exact !== undefined) {
      if (length !== exact) throw wrongLength(id, length);
      return exact;
    }
    switch (id) {
      case MESSAGE_ID.bitfield:
        if (length !== 1 + Math.ceil(this.#options.sizes.rows / 8)) throw wrongLength(id, length);
        return 1;
      case MESSAGE_ID.piece:
        if (length <= 9 || length > 9 + MAX_REQUEST_BYTES) throw wrongLength(id, length);
        return 9;
      case MESSAGE_ID.extended:
        if (length < 3 || length > 2 + MAX_CK_MESSAGE_BYTES) throw wrongLength(id, length);
        return 2;
      default:
        throw invalid(`unknown message id ${id}`);
    }
  }

  admit(head: Uint8Array, length: number): boolean {
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    const id = head[0] ?? 0;
    if (id !== MESSAGE_ID.extended && !this.#options.isProven())
      throw invalid(`message ${id} before its identity`);
    switch (id) {
      case MESSAGE_ID.piece:
        this.#checkOffset(view);
        if (!this.asked.settle(this.#row(view), length - 9)) throw invalid("a piece that was not asked for");
        return true;
      case MESSAGE_ID.request:
        this.#checkOffset(view);
        return this.#admitRequest(this.#row(view), view.getUint32(9));
      case MESSAGE_ID.cancel: {
        this.#checkOffset(view);
        // Its answer may have crossed it.
        if (this.open.has(this.#row(view), view.getUint32(9))) return true;
        this.#takeSmall();
        return false;
      }
      case MESSAGE_ID.reject:
        this.#checkOffset(view);
        if (!this.asked.settle(this.#row(view), view.getUint32(9)))
          throw invalid("a reject of nothing that was asked for");
        return true;
      case MESSAGE_ID.have:
        this.#row(view);
        break;
      case MESSAGE_ID.bitfield:
      case MESSAGE_ID.haveAll:
      case MESSAGE_ID.haveNone:
        if (this.#isBitfieldSeen) throw invalid("a second bitfield");
        this.#isBitfieldSeen = true;
        break;
      case MESSAGE_ID.extended:
        this.#admitExtended(head[1] ?? 0, length);
        break;
      case MESSAGE_ID.port:
      case MESSAGE_ID.suggest:
      case MESSAGE_ID.allowedFast:
        this.#takeSmall();
        return false; // legal, of no use to us
      default:
    }
    this.#takeSmall();
    return true;
  }

  keepAlive(): void {
    this.#takeSmall();
  }

  /**
   * The second look at an admitted message, whole and with its prefix: at bodies that a library is about to parse.
   * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
   */
  checkBody(message: Uint8Array): void {
    if (message[4] === MESSAGE_ID.extended && message[5] === 0) {
      checkExtendedHandshake(message.subarray(6), CK_EXTENSION);
    }
  }

  #admitRequest(row: number, length: number): boolean {
    if (length === 0 || length > MAX_REQUEST_BYTES) throw invalid(`a request of ${length} bytes`);
    const { sizes, clock } = this.#options;
    const fits =
      !this.#options.isChoking() &&
      !this.open.has(row, length) &&
      this.open.count < MAX_OPEN_REQUESTS &&
      this.open.bytes + length <= MAX_OPEN_BYTES &&
      sizes.rowsLength(row, length) !== undefined;
    if (fits) {
      this.open.add(row, length, clock.now());
      return true;
    }
    if (!this.#refusals.take(clock.now())) throw invalid("far too many requests");
    this.#options.onRefused(row, length);
    return false;
  }

  #admitExtended(extension: number, length: number): void {
    if (extension === 0) {
      if (this.#isExtendedSeen) throw invalid("a second extended handshake");
      if (length > 2 + MAX_EXTENDED_HANDSHAKE_BYTES) throw wrongLength(MESSAGE_ID.extended, length);
      this.#isExtendedSeen = true;
    } else if (extension !== CK_EXTENSION_ID || !this.#isExtendedSeen) {
      throw invalid(`a message of extension ${extension}, which was not offered`);
    }
  }

  #row(view: DataView): number {
    const row = view.getUint32(1);
    if (row >= this.#options.sizes.rows) throw invalid(`row ${row} of ${this.#options.sizes.rows}`);
    return row;
  }

  #checkOffset(view: DataView): void {
    if (view.getUint32(5) !== 0) throw invalid("an offset within a row");
  }

  #takeSmall(): void {
    if (!this.#small.take(this.#options.clock.now())) throw invalid("far too many messages");
  }
}

function isOurselves(): AppError {
  return new AppError("ERR_PEER_REFUSED", "that address is this client itself", {
    details: { reason: "refused", isSelf: true },
  });
}

function wrongLength(id: number, length: number): AppError {
  return invalid(`message ${id} of ${length} bytes`);
}

function invalid(what: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `peer sent ${what}`);
}
