import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import openWabt from "wabt";
import { type FingerprintScan, scriptScan, simdScan } from "../../src/delta/fingerprint-scan.js";
import { FINGERPRINT_SCAN_WASM } from "../../src/delta/fingerprint-scan-wasm.js";

const simd = simdScan();

function fingerprints(scan: FingerprintScan, bytes: Uint8Array, limit: number): (readonly number[])[] {
  scan.bytes.set(bytes);
  const count = scan.scan(bytes.length, limit);
  return Array.from({ length: count }, (_, i) => [scan.hashes[i] ?? 0, scan.starts[i] ?? 0]);
}

/** Pieces that repeat themselves, as files do; of any length. */
const content = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 40 })), {
    maxLength: 40,
  })
  .map((pieces) =>
    Buffer.concat(pieces.flatMap(([piece, times]) => Array(times).fill(piece))).subarray(0, 1 << 16),
  );

describe("fingerprint scan", () => {
  it("is what its source says", async () => {
    const path = new URL("../../src/delta/fingerprint-scan.wat", import.meta.url);
    const wabt = await openWabt();
    const { buffer } = wabt.parseWat("scan", readFileSync(path, "utf8"), { simd: true }).toBinary({});
    expect(Buffer.from(buffer).toString("base64")).toBe(FINGERPRINT_SCAN_WASM);
  });

  it.skipIf(simd === undefined)("finds the same with SIMD and without", () => {
    if (simd === undefined) return;
    const script = scriptScan();
    fc.assert(
      fc.property(content, fc.integer({ min: 1, max: 31 }), (bytes, sampleBits) => {
        const limit = 2 ** (32 - sampleBits);
        expect(fingerprints(simd, bytes, limit)).toEqual(fingerprints(script, bytes, limit));
      }),
      { numRuns: 200 },
    );
  });

  it.skipIf(simd === undefined)("ends with the 2048th, with SIMD and without", () => {
    if (simd === undefined) return;
    const bytes = Uint8Array.from({ length: 1 << 16 }, (_, i) => Math.imul(i, i) >>> 5);
    const found = fingerprints(simd, bytes, 2 ** 29);
    expect(found.length).toBe(2048);
    expect(found).toEqual(fingerprints(scriptScan(), bytes, 2 ** 29));
  });
});
