import { MAX_SCAN_BYTES, openFingerprintScan } from "./fingerprint-scan.js";

/**
 * Fingerprints of some bytes; reused from one piece of content to the next.
 *
 * A hash of the 8 bytes at a position decides whether there is one, so content that moved by any distance has the
 * fingerprints that it had. A few operations for each position: what all of a base and all new frames have to go
 * through.
 */
export class FingerprintList {
  readonly #scan = openFingerprintScan();
  length = 0;
  /** 32 bits each. */
  readonly hashes = this.#scan.hashes;
  /** Offset of the first byte of each. Rises. */
  readonly starts = this.#scan.starts;

  /**
   * Takes the fingerprints of about one in 2^`sampleBits` positions, the first 2048 of them.
   * @param bytes at most 64 KiB
   * @param sampleBits 1 to 31
   */
  scan(bytes: Uint8Array, sampleBits: number): void {
    if (bytes.length > MAX_SCAN_BYTES) throw new Error(`unreachable: ${bytes.length} bytes to scan`);
    this.#scan.bytes.set(bytes);
    this.length = this.#scan.scan(bytes.length, 2 ** (32 - sampleBits));
  }
}
