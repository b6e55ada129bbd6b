import type { KeyObject } from "node:crypto";
import { sha256, toHex } from "@ckmesh/core";
import { type Claim, claimSigningBytes, promiseSigningBytes, type RowPromise } from "@ckmesh/wire";
import { parsePublicKey, verifyWith } from "./identity.js";

/** Signatures remembered as good: flooded claims come several times. */
const MAX_REMEMBERED = 4096;
/** Parsed keys kept: making one costs twice as much as a check with it. More than a site has machines. */
const MAX_KEYS = 1024;

/** Checks the signatures of one version's claims and promises, each distinct one once. */
export class ClaimVerifier {
  readonly #versionId: Uint8Array;
  #recent = new Set<string>();
  #older = new Set<string>();
  /** By peer id; undefined: no key. */
  readonly #keys = new Map<string, KeyObject | undefined>();

  constructor(versionId: Uint8Array) {
    this.#versionId = versionId;
  }

  /** `claim.claimer` must already be the hash of `claim.key`, as the codec makes sure. */
  isValid(claim: Claim): boolean {
    return this.#isSigned(claim.claimer, claim, claimSigningBytes(this.#versionId, claim));
  }

  /** `promise.promiser` must already be the hash of `promise.key`. */
  isValidPromise(promise: RowPromise): boolean {
    return this.#isSigned(promise.promiser, promise, promiseSigningBytes(this.#versionId, promise));
  }

  #isSigned(
    peerId: string,
    { key, signature }: Pick<Claim, "key" | "signature">,
    bytes: Uint8Array,
  ): boolean {
    // A hash and not the bytes: a promise may be long.
    const name = toHex(signature) + toHex(sha256(bytes));
    if (this.#recent.has(name) || this.#older.has(name)) return true;
    const parsed = this.#keyOf(peerId, key);
    if (parsed === undefined || !verifyWith(parsed, bytes, signature)) return false;
    this.#recent.add(name);
    if (this.#recent.size >= MAX_REMEMBERED / 2) {
      this.#older = this.#recent;
      this.#recent = new Set();
    }
    return true;
  }

  #keyOf(peerId: string, key: Uint8Array): KeyObject | undefined {
    if (this.#keys.has(peerId)) return this.#keys.get(peerId);
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
    const parsed = parsePublicKey(key);
    this.#keys.set(peerId, parsed);
    return parsed;
  }
}
