import { toHex } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { md4 } from "../../src/ntlm/md4.js";
import { rc4 } from "../../src/ntlm/rc4.js";

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

describe("md4", () => {
  // RFC 1320 A.5
  it.each([
    ["", "31d6cfe0d16ae931b73c59d7e0c089c0"],
    ["a", "bde52cb31de33e46245e05fbdbd6fb24"],
    ["abc", "a448017aaf21d8525fc10ae87aa6729d"],
    ["message digest", "d9130a8164549fe818874806e1c7014b"],
    ["abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"],
    ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "043f8582f241db351ce627e153e7f0e4"],
    [
      "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
      "e33b4ddc9c38f2199c3e7b164fcc0536",
    ],
  ])("of %j is that of RFC 1320", (message, digest) => {
    expect(toHex(md4(text(message)))).toBe(digest);
  });

  // openssl dgst -provider legacy -md4: where the padding needs no block of its own, and where it does.
  it.each([
    [55, "c889c81dd86c4d2e025778944ea02881"],
    [56, "d5f9a9e9257077a5f08b0b92f348b0ad"],
    [63, "7ea3da77432d44c323671097d1348fc8"],
    [64, "52f5076fabd22680234a3fa9f9dc5732"],
    [119, "e65dd227ccef97fa1d34d70189120f76"],
    [120, "b03ddbd470b47c013e0c7ab2ddd763db"],
  ])("of %i bytes is that of OpenSSL", (length, digest) => {
    expect(toHex(md4(new Uint8Array(length).fill(0x61)))).toBe(digest);
  });
});

describe("rc4", () => {
  // RFC 6229 §2: the first 16 bytes of the key stream.
  it.each([
    ["0102030405", "b2396305f03dc027ccc3524a0a1118a8"],
    ["0102030405060708090a0b0c0d0e0f10", "9ac7cc9a609d1ef7b2932899cde41b97"],
  ])("of key %s gives the stream of RFC 6229", (key, stream) => {
    expect(toHex(rc4(new Uint8Array(Buffer.from(key, "hex")), new Uint8Array(16)))).toBe(stream);
  });
});
