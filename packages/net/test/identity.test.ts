import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHex } from "@ckmesh/core";
import { peerIdOf } from "@ckmesh/wire";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Identity, verifySignature } from "../src/identity.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ckmesh-identity-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("Identity", () => {
  it("is made where there is none, readable by its owner only, and the same the next time", async () => {
    const path = join(folder, "sub", "identity.pem");
    const first = await Identity.load(path);
    const second = await Identity.load(path);
    expect(second.peerIdHex).toBe(first.peerIdHex);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).toMatch(/^-----BEGIN PRIVATE KEY-----/);
  });

  it("is named by the hash of its public key", () => {
    const identity = Identity.generate();
    expect(identity.publicKey.byteLength).toBe(32);
    expect(identity.peerIdHex).toBe(toHex(peerIdOf(identity.publicKey)));
  });

  it("survives what a crash left beside its file", async () => {
    const path = join(folder, "identity.pem");
    await writeFile(`${path}.new`, "half a k");
    await expect(Identity.load(path)).resolves.toBeInstanceOf(Identity);
  });

  it.each([
    ["garbage", "hello"],
    ["nothing", ""],
    [
      "a key of another kind",
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHBgcWqzWTdvhjwHkG0tHbT6XGo1vmqDpkfgxLzcAQlj\n-----END PRIVATE KEY-----\n",
    ],
  ])("refuses %s with ERR_CONFIG_INVALID", async (_, text) => {
    const path = join(folder, "identity.pem");
    await writeFile(path, text);
    await expect(Identity.load(path)).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
  });
});

describe("verifySignature", () => {
  it("accepts a signature of the key and nothing else", () => {
    const identity = Identity.generate();
    const bytes = Buffer.from("claim");
    const signature = identity.sign(bytes);
    expect(verifySignature(identity.publicKey, bytes, signature)).toBe(true);
    expect(verifySignature(identity.publicKey, Buffer.from("clain"), signature)).toBe(false);
    expect(verifySignature(Identity.generate().publicKey, bytes, signature)).toBe(false);
    expect(verifySignature(identity.publicKey.subarray(1), bytes, signature)).toBe(false);
    expect(verifySignature(identity.publicKey, bytes, signature.subarray(1))).toBe(false);
    expect(verifySignature(new Uint8Array(32).fill(0xff), bytes, signature)).toBe(false);
  });

  it("refuses the key of small order, whose signatures fit any text", () => {
    const neutral = new Uint8Array(32);
    neutral[0] = 1;
    const forged = new Uint8Array(64);
    forged[0] = 1;
    expect(verifySignature(neutral, Buffer.from("any"), forged)).toBe(false);
    neutral[31] = 0x80;
    expect(verifySignature(neutral, Buffer.from("any"), forged)).toBe(false);
  });
});
