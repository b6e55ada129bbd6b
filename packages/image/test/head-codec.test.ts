import { generateKeyPairSync } from "node:crypto";
import { encodeMsgpack, sha256 } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeHead } from "../src/head-codec.js";
import { decodeHead, HEAD_BYTES, hasIndexMagic, type IndexHead } from "../src/index.js";
import { layOutSections } from "../src/section-layout.js";
import { outcome } from "./outcome.js";
import { sampleIndex, sampleParts } from "./sample-index.js";

const code = (name: string): unknown => expect.objectContaining({ code: name });

function sampleHead(): IndexHead {
  return sampleIndex().head;
}

/** The 4 KiB of any object as head, with correct lengths. */
function rawHead(head: unknown): Uint8Array {
  const body = encodeMsgpack(head);
  const bytes = Buffer.alloc(HEAD_BYTES);
  bytes.write("CKMI", "latin1");
  bytes.writeUInt16LE(1, 4);
  bytes.writeUInt32LE(body.length, 8);
  bytes.set(body, 16);
  return bytes;
}

describe("decodeHead", () => {
  it("gives back what encodeHead wrote, with the SHA-256 of the head bytes as version id", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const head = sampleHead();
    const { bytes, id } = encodeHead(head, [privateKey]);
    const signed = decodeHead(bytes);
    expect(bytes).toHaveLength(HEAD_BYTES);
    expect(encodeHead(signed.head, [privateKey]).bytes).toEqual(bytes);
    expect(signed.head.sections).toEqual(head.sections);
    expect(signed.id).toEqual(id);
    expect(sha256(signed.headBytes)).toEqual(id);
    expect(signed.signatures).toHaveLength(1);
  });

  it("does not change with the buffer that it was read from", () => {
    const bytes = Uint8Array.from(encodeHead(sampleHead(), []).bytes);
    const signed = decodeHead(bytes);
    const before = signed.idHex;
    bytes.fill(0xff);
    expect(Buffer.from(sha256(signed.headBytes)).toString("hex")).toBe(before);
    expect(signed.head.secret).toEqual(Buffer.alloc(32, 7));
  });

  it("refuses a truncated head with ERR_INDEX_INVALID", () => {
    expect(() => decodeHead(encodeHead(sampleHead(), []).bytes.subarray(0, HEAD_BYTES - 1))).toThrow(
      code("ERR_INDEX_INVALID"),
    );
  });

  it("refuses foreign indexes and later formats with ERR_FORMAT_UNSUPPORTED", () => {
    const foreign = Buffer.alloc(HEAD_BYTES, "x");
    const later = Buffer.from(encodeHead(sampleHead(), []).bytes);
    later.writeUInt16LE(2, 4);
    expect(hasIndexMagic(foreign)).toBe(false);
    expect(() => decodeHead(foreign)).toThrow(code("ERR_FORMAT_UNSUPPORTED"));
    expect(() => decodeHead(later)).toThrow(code("ERR_FORMAT_UNSUPPORTED"));
  });

  it.each([
    ["encryption", { encryption: "aes" }],
    ["an unknown feature", { requires: ["ckmesh-9"] }],
    ["a delta", { base: { version: 1 } }],
  ])("refuses %s with ERR_FORMAT_UNSUPPORTED", (_, change) => {
    expect(() => decodeHead(rawHead({ ...sampleHead(), ...change }))).toThrow(code("ERR_FORMAT_UNSUPPORTED"));
  });

  const disk = { format: "raw", gridOffset: 0 };
  it.each<[string, object]>([
    ["a disk above 64 TiB", { disk: { ...disk, size: 64 * 2 ** 40 + 1 } }],
    ["a disk without bytes", { disk: { ...disk, size: 0 } }],
    ["a disk that the pages do not fit", { disk: { ...disk, size: 2 ** 40 } }],
    ["a grid offset of 4096", { disk: { ...disk, size: 12_288, gridOffset: 4096 } }],
    ["more than 8 M frames", { counts: { frames: 8 * 2 ** 20 + 1, sectors: 8 * 2 ** 20 + 1, kept: 0 } }],
    ["frames that the section does not fit", { counts: { frames: 4, sectors: 4, kept: 0 } }],
    ["fewer sectors than frames", { counts: { frames: 3, sectors: 2, kept: 0 } }],
    ["more than 16 sectors a frame", { counts: { frames: 3, sectors: 49, kept: 0 } }],
    ["kept frames without a previous version", { counts: { frames: 3, sectors: 3, kept: 1 } }],
    ["a previous version without a kept section", { previous: { version: 6, id: new Uint8Array(32) } }],
    ["a pack that is too long for its frames", { pack: { length: 2 ** 40, sha256: new Uint8Array(32) } }],
    ["a pack that is too short", { pack: { length: 10, sha256: new Uint8Array(32) } }],
    ["no codec", { codecs: [] }],
    ["a codec of stored frames in a pack with a disk", { codecs: [{ ...codec("store"), firstFrame: 0 }] }],
    ["codecs out of order", { codecs: [codec("zstd", 0), codec("zstd", 2), codec("zstd", 1)] }],
    ["codecs behind the last frame", { codecs: [codec("zstd", 0), codec("zstd", 3)] }],
    ["a name that is not allowed", { name: "../etc" }],
    ["version 0", { version: 0 }],
    ["a version above 2^53 - 1", { version: 2 ** 53 }],
    ["a short secret", { secret: new Uint8Array(31) }],
    ["no sections", { sections: [] }],
    ["sections that are no list", { sections: { length: 3 } }],
  ])("refuses %s with ERR_INDEX_INVALID", (_, change) => {
    expect(() => decodeHead(rawHead({ ...sampleHead(), ...change }))).toThrow(code("ERR_INDEX_INVALID"));
  });

  it.each<
    [string, (sections: { kind: string; offset: number; length: number; pieceLength: number }[]) => object[]]
  >([
    ["overlap", (s) => s.map((x) => (x.kind === "map" ? { ...x, offset: x.offset - 1 } : x))],
    ["leave gaps", (s) => s.map((x) => (x.kind === "pages" ? { ...x, offset: x.offset + 1 } : x))],
    ["have other piece lengths", (s) => s.map((x) => ({ ...x, pieceLength: 4096 }))],
    ["are there twice", (s) => s.concat(s.slice(-1))],
    ["are in another order", (s) => s.toReversed()],
    ["lack the frames", (s) => s.filter((x) => x.kind !== "frames")],
    ["lack the hashes", (s) => s.filter((x) => x.kind !== "hashes")],
    ["are unknown", (s) => s.map((x) => (x.kind === "map" ? { ...x, kind: "mops" } : x))],
    ["have references", (s) => s.map((x) => (x.kind === "map" ? { ...x, kind: "refs" } : x))],
    [
      "have more hashes than pieces",
      (s) => s.map((x) => (x.kind === "hashes" ? { ...x, length: x.length + 32 } : x)),
    ],
  ])("refuses sections that %s with ERR_INDEX_INVALID", (_, change) => {
    const head = sampleHead();
    const sections = change(head.sections.map((section) => ({ ...section })));
    expect(() => decodeHead(rawHead({ ...head, sections }))).toThrow(code("ERR_INDEX_INVALID"));
  });

  it("leaves the place of the ids section", () => {
    const { head, sections } = sampleParts();
    const lengths = new Map([...sections].map(([kind, bytes]) => [kind, bytes.length]));
    const withIds = layOutSections(new Map([...lengths, ["ids", 18] as const]));
    expect(
      decodeHead(rawHead({ ...head, sections: withIds, hashesSha256: new Uint8Array(32) })).head.sections,
    ).toHaveLength(6);
    const short = layOutSections(new Map([...lengths, ["ids", 17] as const]));
    expect(() => decodeHead(rawHead({ ...head, sections: short, hashesSha256: new Uint8Array(32) }))).toThrow(
      code("ERR_INDEX_INVALID"),
    );
  });

  it("refuses padding that is not zero and lengths that do not add up", () => {
    const padded = Buffer.from(encodeHead(sampleHead(), []).bytes);
    padded[HEAD_BYTES - 1] = 1;
    const long = Buffer.from(encodeHead(sampleHead(), []).bytes);
    long.writeUInt32LE(0xffff_fff0, 8);
    const signatures = Buffer.from(encodeHead(sampleHead(), []).bytes);
    signatures.writeUInt32LE(95, 12);
    for (const bytes of [padded, long, signatures]) {
      expect(() => decodeHead(bytes)).toThrow(code("ERR_INDEX_INVALID"));
    }
  });

  it("gives a head or an AppError for any bytes and any flipped byte", () => {
    const good = encodeHead(sampleHead(), []).bytes;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(700), fc.nat(255), (body, at, byte) => {
        const random = Buffer.from(rawHead(null));
        random.writeUInt32LE(Math.max(1, body.length), 8);
        random.set(body, 16);
        expect(outcome(() => decodeHead(random))).toMatch(EXPECTED);
        const flipped = Buffer.from(good);
        flipped[at] = byte;
        expect(outcome(() => decodeHead(flipped))).toMatch(EXPECTED);
      }),
      { numRuns: 500 },
    );
  });
});

const EXPECTED = /^(?:ok|ERR_INDEX_INVALID|ERR_FORMAT_UNSUPPORTED)$/;

function codec(name: string, firstFrame = 0): object {
  return { name, level: 3, fingerprint: new Uint8Array(32), firstFrame };
}
