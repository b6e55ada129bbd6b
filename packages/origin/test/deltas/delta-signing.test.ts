import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { publicKeyBytes } from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import { readSignKey, signingObstacle } from "../../src/deltas/delta-signing.js";
import { temporaryFolder } from "../origin-fixture.js";

const [ours, other] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const signed = { isSigned: true };
const unsigned = { isSigned: false };

describe("a delta that an origin makes", () => {
  it("would be taken when it is signed as well as its version", () => {
    const nobody = { signKey: undefined, publishers: () => [] };
    expect(signingObstacle(unsigned, nobody)).toBeUndefined();
    expect(signingObstacle(signed, nobody)).toContain("set deltas.signKeyFile");
    expect(signingObstacle(unsigned, { ...nobody, publishers: () => [other] })).toContain(
      "deltas.signKeyFile",
    );
    for (const publishers of [[], [other, ours]]) {
      expect(signingObstacle(signed, { signKey: ours, publishers: () => publishers })).toBeUndefined();
    }
  });

  it("would not be taken when a reload has brought publishers without its signer", () => {
    let publishers: readonly Uint8Array[] = [ours];
    const signing = { signKey: ours, publishers: () => publishers };
    expect(signingObstacle(signed, signing)).toBeUndefined();
    publishers = [other];
    expect(signingObstacle(signed, signing)).toContain("not among publishers");
  });
});

describe("the signing key of an origin", () => {
  it("is a private key of a publisher, or refused with ERR_CONFIG_INVALID", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const path = join(temporaryFolder(), "key.pem");
    writeFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }));
    const bytes = publicKeyBytes(publicKey);
    expect(await readSignKey(path, [])).toEqual(bytes);
    expect(await readSignKey(path, [other, bytes])).toEqual(bytes);
    await expect(readSignKey(path, [other])).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
    await expect(readSignKey(`${path}.no`, [])).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
  });
});
