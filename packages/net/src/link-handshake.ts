import { AppError, type Clock, equalBytes, type Random, toHex } from "@ckmesh/core";
import {
  CLAIM_RULES,
  IDENTITY_EXPORTER_LABEL,
  identitySigningBytes,
  type LinkMessage,
  type LinkRole,
  type PeerClass,
  peerIdOf,
} from "@ckmesh/wire";
import { type Identity, verifySignature } from "./identity.js";
import { TokenBucket } from "./token-bucket.js";

export interface LinkHandshakeOptions {
  readonly identity: Identity;
  readonly role: LinkRole;
  readonly versionId: Uint8Array;
  readonly peerClass: PeerClass;
  /** Where this client listens; 0 for nowhere. */
  readonly listenPort: number;
  readonly clock: Clock;
  readonly random: Random;
  /** TLS exporter (RFC 8446 §7.5) of the connection, 32 bytes. */
  readonly exportKey: (label: string, context: string) => Uint8Array;
  readonly send: (message: LinkMessage) => void;
  /** The peer is proven and the round trip measured. */
  readonly done: () => void;
}

export type IdentityMessage = Extract<LinkMessage, { type: "identity" }>;
export type ProbeMessage = Extract<LinkMessage, { type: "probe" }>;

const PROBES = 3;
/** Answers to probes of one peer. */
const PROBE_REPLIES = { ratePerSec: 20, burst: 50 };
/** Names that a peer may put into `requires`: none yet. */
const KNOWN_FEATURES: ReadonlySet<string> = new Set();

/**
 * Who is there, and how far: both sides prove their key over the TLS exporter, which differs on the two legs of
 * a man in the middle, then each measures three round trips. Greeted → proven → measured; the peer's messages
 * move it on.
 */
export class LinkHandshake {
  readonly #options: LinkHandshakeOptions;
  readonly #probeReplies: TokenBucket;
  #proof: IdentityMessage | undefined;
  #peerId = "";
  #probe: { readonly nonce: number; readonly at: number } | undefined;
  readonly #rtts: number[] = [];

  constructor(options: LinkHandshakeOptions) {
    this.#options = options;
    this.#probeReplies = new TokenBucket(PROBE_REPLIES.ratePerSec, PROBE_REPLIES.burst, options.clock.now());
  }

  /** What the peer proved; undefined before. */
  get proof(): IdentityMessage | undefined {
    return this.#proof;
  }

  /** Hex of 32 bytes; empty before the proof. */
  get peerId(): string {
    return this.#peerId;
  }

  get isDone(): boolean {
    return this.#rtts.length === PROBES;
  }

  /** The smallest of three, ms; infinite before. */
  get rttMs(): number {
    return this.isDone ? Math.min(...this.#rtts) : Number.POSITIVE_INFINITY;
  }

  /** Sends this side's proof. */
  prove(): void {
    const { identity, role, versionId, peerClass, listenPort } = this.#options;
    this.#options.send({
      type: "identity",
      key: identity.publicKey,
      signature: identity.sign(this.#signedBy(role)),
      versionId,
      requires: [],
      claimRules: CLAIM_RULES,
      peerClass,
      port: listenPort,
    });
  }

  /**
   * @param prefix the first 20 bytes of the peer's id, from its BEP 3 handshake
   * @throws {AppError} ERR_PEER_REFUSED, ERR_WIRE_MESSAGE_INVALID
   */
  onIdentity(proof: IdentityMessage, prefix: Uint8Array): void {
    const { role, versionId } = this.#options;
    if (this.#proof !== undefined)
      throw new AppError("ERR_WIRE_MESSAGE_INVALID", "peer sent a second identity");
    const peerId = peerIdOf(proof.key);
    if (!equalBytes(proof.versionId, versionId)) throw refused("the peer has another version of the image");
    const unknown = proof.requires.find((name) => !KNOWN_FEATURES.has(name));
    if (unknown !== undefined || proof.claimRules !== CLAIM_RULES)
      throw refused("the peer runs a release of ckmesh that does not work with this one");
    if (!equalBytes(peerId.subarray(0, 20), prefix))
      throw refused("the peer changed its id between its handshake and its proof");
    if (!verifySignature(proof.key, this.#signedBy(otherRole(role)), proof.signature))
      throw refused("the peer cannot prove its identity on this connection");
    this.#proof = proof;
    this.#peerId = toHex(peerId);
    this.#sendProbe();
  }

  onProbe(probe: ProbeMessage): void {
    const now = this.#options.clock.now();
    if (!probe.reply) {
      if (this.#probeReplies.take(now)) this.#options.send({ ...probe, reply: true });
      return;
    }
    if (this.#probe?.nonce !== probe.nonce) return;
    this.#rtts.push(now - this.#probe.at);
    this.#probe = undefined;
    if (this.isDone) this.#options.done();
    else this.#sendProbe();
  }

  #sendProbe(): void {
    const nonce = Math.floor(this.#options.random.next() * 2 ** 32);
    this.#probe = { nonce, at: this.#options.clock.now() };
    this.#options.send({ type: "probe", nonce, reply: false });
  }

  #signedBy(role: LinkRole): Uint8Array {
    const exported = this.#options.exportKey(IDENTITY_EXPORTER_LABEL, role);
    return identitySigningBytes(role, exported, this.#options.versionId);
  }
}

function otherRole(role: LinkRole): LinkRole {
  return role === "dialer" ? "listener" : "dialer";
}

function refused(what: string): AppError {
  return new AppError("ERR_PEER_REFUSED", what, { details: { reason: "refused" } });
}
