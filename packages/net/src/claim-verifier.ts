import type { KeyObject } from "node:crypto";
import { toHex } from "@ckmesh/core";
import { type Claim, claimSigningBytes } from "@ckmesh/wire";
import { parsePublicKey, verifyWith } from "./identity.js";

/** Signatures remembered as good: flooded claims come several times. */
const MAX_REMEMBERED = 4096;
/** Parsed keys kept: making one costs twice as much as a check with it. More than a site has machines. */
const MAX_KEYS = 1024;

/** Checks the signatures of one version's claims, each distinct claim once. */
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
    const bytes = claimSigningBytes(this.#versionId, claim);
    const name = toHex(claim.signature) + toHex(bytes);
    if (this.#recent.has(name) || this.#older.has(name)) return true;
    const key = this.#keyOf(claim);
    if (key === undefined || !verifyWith(key, bytes, claim.signature)) return false;
    this.#recent.add(name);
    if (this.#recent.size >= MAX_REMEMBERED / 2) {
      this.#older = this.#recent;
      this.#recent = new Set();
    }
    return true;
  }

  #keyOf({ claimer, key }: Claim): KeyObject | undefined {
    if (this.#keys.has(claimer)) return this.#keys.get(claimer);
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
    const parsed = parsePublicKey(key);
    this.#keys.set(claimer, parsed);
    return parsed;
  }
}
