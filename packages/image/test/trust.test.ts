import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encodeHead } from "../src/head-codec.js";
import { checkTrust, decodeHead, deriveSwarmKeys, publicKeyBytes } from "../src/index.js";
import { outcome } from "./outcome.js";
import { sampleIndex } from "./sample-index.js";

const [alice, bob] = [generateKeyPairSync("ed25519").privateKey, generateKeyPairSync("ed25519").privateKey];
const refused = expect.objectContaining({ code: "ERR_SIGNATURE_INVALID" });

function signedBy(...keys: (typeof alice)[]): ReturnType<typeof decodeHead> {
  return decodeHead(encodeHead(sampleIndex().head, keys).bytes);
}

describe("checkTrust", () => {
  it("accepts a signature of one configured publisher among several signers", () => {
    const [a, b] = [publicKeyBytes(alice), publicKeyBytes(bob)];
    expect(outcome(() => checkTrust(signedBy(alice, bob), { publishers: [b], signature: "required" }))).toBe(
      "ok",
    );
    const both = { publishers: [a, b], signature: "whenConfigured" } as const;
    expect(outcome(() => checkTrust(signedBy(bob), both))).toBe("ok");
  });

  it("refuses unsigned heads and strangers as soon as a publisher is configured", () => {
    const policy = { publishers: [publicKeyBytes(alice)], signature: "whenConfigured" } as const;
    expect(() => checkTrust(signedBy(), policy)).toThrow(refused);
    expect(() => checkTrust(signedBy(bob), policy)).toThrow(refused);
  });

  it("without publishers accepts whatever comes, unless signatures are required", () => {
    checkTrust(signedBy(), { publishers: [], signature: "whenConfigured" });
    expect(() => checkTrust(signedBy(alice), { publishers: [], signature: "required" })).toThrow(refused);
  });

  it("refuses a signature that was made for another head", () => {
    const mine = signedBy(alice);
    const forged = { ...mine, head: { ...mine.head, name: "Other" } };
    expect(() => checkTrust(forged, { publishers: [publicKeyBytes(alice)], signature: "required" })).toThrow(
      refused,
    );
  });

  it("signs with Ed25519 keys only", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    expect(() => encodeHead(sampleIndex().head, [rsa])).toThrow(
      expect.objectContaining({ code: "ERR_USAGE" }),
    );
  });
});

describe("deriveSwarmKeys", () => {
  it("depends on the secret and on the version, and keeps key and public id apart", () => {
    const one = deriveSwarmKeys(new Uint8Array(32), new Uint8Array(32));
    const other = deriveSwarmKeys(new Uint8Array(32), new Uint8Array(32).fill(1));
    expect(Buffer.from(one.psk).equals(one.swarm)).toBe(false);
    expect(Buffer.from(one.psk).equals(other.psk)).toBe(false);
    // HKDF-SHA256 of 32 zero bytes, salt 32 zero bytes, info "ckmesh/1 psk"; computed with Python's hmac.
    expect(Buffer.from(one.psk).toString("hex")).toBe(PSK_VECTOR);
  });
});

const PSK_VECTOR = "c4b39af4895fec7187baa31bc270b4cfd22c25e922eb28c008fa454107f6e615";
