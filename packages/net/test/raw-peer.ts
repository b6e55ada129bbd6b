import { encodeCk, IDENTITY_EXPORTER_LABEL, identitySigningBytes, type LinkRole } from "@ckmesh/wire";
import { Identity } from "../src/identity.js";
import type { PeerSocket } from "../src/peer-socket.js";
import { infohash, versionId } from "./link-fixtures.js";

/** Hand-made messages of BEP 3, for saying what no proper peer says. */
export const raw = {
  handshake(
    hash: Uint8Array = infohash,
    peerId: Uint8Array = new Uint8Array(20),
    reserved = "0000000000100004",
  ): Buffer {
    return Buffer.concat([
      Buffer.from("\u0013BitTorrent protocol", "latin1"),
      Buffer.from(reserved, "hex"),
      hash,
      peerId,
    ]);
  },
  /** Any message: length prefix, id, body. */
  message(id: number, body: Uint8Array | string = ""): Buffer {
    const bytes = typeof body === "string" ? Buffer.from(body, "latin1") : body;
    const head = Buffer.alloc(5);
    head.writeUInt32BE(1 + bytes.byteLength, 0);
    head.writeUInt8(id, 4);
    return Buffer.concat([head, bytes]);
  },
  /** Messages of three (request, cancel, reject) or fewer numbers. */
  numbers(id: number, ...values: readonly number[]): Buffer {
    const body = Buffer.alloc(values.length * 4);
    values.forEach((value, i) => body.writeUInt32BE(value, i * 4));
    return raw.message(id, body);
  },
  /** Extended handshake (BEP 10): any bytes in place of the dictionary. */
  extended(payload: string | Uint8Array): Buffer {
    const bytes = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
    return raw.message(20, Buffer.concat([Buffer.from([0]), bytes]));
  },
  ck(payload: Uint8Array): Buffer {
    return raw.message(20, Buffer.concat([Buffer.from([1]), payload]));
  },
} as const;

export const GOOD_EXTENDED = "d1:md2:cki1eee";

/**
 * The far end of a link under full control of the test: it can behave up to any point and then not. Sees its
 * victim's bytes only as a count and answers no requests.
 */
export class RawPeer {
  readonly identity = Identity.generate();
  readonly #socket: PeerSocket;
  readonly #role: LinkRole;
  receivedBytes = 0;
  isClosed = false;

  constructor(socket: PeerSocket, role: LinkRole = "dialer") {
    this.#socket = socket;
    this.#role = role;
    socket.listen({
      data: (bytes) => this.#received(bytes),
      closed: () => {
        this.isClosed = true;
      },
    });
  }

  send(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.#socket.write(part, () => {});
  }

  greet(): void {
    this.send(raw.handshake(infohash, this.identity.peerId.subarray(0, 20)), raw.extended(GOOD_EXTENDED));
  }

  /** Greets and proves; probes of the victim are answered as they come. */
  behave(): void {
    this.greet();
    this.send(raw.ck(this.proof()));
  }

  proof(overrides: { readonly requires?: readonly string[]; readonly claimRules?: number } = {}): Uint8Array {
    const exported = this.#socket.exportKey(IDENTITY_EXPORTER_LABEL, this.#role);
    return encodeCk({
      type: "identity",
      key: this.identity.publicKey,
      signature: this.identity.sign(identitySigningBytes(this.#role, exported, versionId)),
      versionId,
      requires: overrides.requires ?? [],
      claimRules: overrides.claimRules ?? 1,
      peerClass: "wifi",
      port: 4242,
    });
  }

  #received(bytes: Uint8Array): void {
    this.receivedBytes += bytes.byteLength;
    // A probe is the one ck message whose text contains "probe": flip its `reply` and send it back.
    const at = Buffer.from(bytes).indexOf("probe", 0, "latin1");
    if (at >= 0) this.send(raw.ck(reply(bytes.subarray(at))));
  }
}

/** The probe that begins with its type's text, as a reply. */
function reply(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes);
  const nonceAt = text.indexOf("nonce", 0, "latin1") + 5;
  const first = text[nonceAt] ?? 0;
  // msgpack: small integer, uint8, uint16, uint32 (msgpackr also writes doubles and int32 never here).
  const nonce =
    first < 0x80
      ? first
      : first === 0xcc
        ? text.readUInt8(nonceAt + 1)
        : first === 0xcd
          ? text.readUInt16BE(nonceAt + 1)
          : text.readUInt32BE(nonceAt + 1);
  return encodeCk({ type: "probe", nonce, reply: true });
}
