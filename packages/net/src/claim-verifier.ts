import { toHex } from "@ckmesh/core";
import { type Claim, claimSigningBytes } from "@ckmesh/wire";
import { verifySignature } from "./identity.js";

/** Signatures remembered as good: flooded claims come several times. */
const MAX_REMEMBERED = 4096;

/** Checks the signatures of one version's claims, each distinct claim once. */
export class ClaimVerifier {
  readonly #versionId: Uint8Array;
  #recent = new Set<string>();
  #older = new Set<string>();

  constructor(versionId: Uint8Array) {
    this.#versionId = versionId;
  }

  /** `claim.claimer` must already be the hash of `claim.key`, as the codec makes sure. */
  isValid(claim: Claim): boolean {
    const bytes = claimSigningBytes(this.#versionId, claim);
    const name = toHex(claim.signature) + toHex(bytes);
    if (this.#recent.has(name) || this.#older.has(name)) return true;
    if (!verifySignature(claim.key, bytes, claim.signature)) return false;
    this.#recent.add(name);
    if (this.#recent.size >= MAX_REMEMBERED / 2) {
      this.#older = this.#recent;
      this.#recent = new Set();
    }
    return true;
  }
}
