import { generateKeyPairSync } from "node:crypto";
import { encodeMsgpack, equalBytes, isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkDeltaEnds,
  checkDeltaFits,
  checkTrust,
  DeltaFile,
  decodeDeltaHead,
  decodeHead,
  type FrameTable,
  HEAD_BYTES,
  IndexFile,
  indexLength,
  publicKeyBytes,
  RowLayout,
  type SignedHead,
} from "../../src/index.js";
import { outcome } from "../outcome.js";
import { memorySource, sampleIndex } from "../sample-index.js";
import { sampleDelta } from "./sample-delta.js";

const code = (name: string): unknown => expect.objectContaining({ code: name });

function headBlock(fields: unknown): Uint8Array {
  const body = encodeMsgpack(fields);
  const bytes = Buffer.alloc(HEAD_BYTES);
  bytes.write("CKMI", "latin1");
  bytes.writeUInt16LE(1, 4);
  bytes.writeUInt32LE(body.length, 8);
  bytes.set(body, 16);
  return bytes;
}

async function openSample(bytes = Buffer.concat(sampleDelta().parts)): Promise<DeltaFile> {
  return await DeltaFile.open(memorySource(bytes));
}

/** "ok", or the code of the AppError that reading all of an index gives; anything else is passed on. */
async function readOutcome(bytes: Uint8Array): Promise<string> {
  try {
    const delta = await DeltaFile.open(memorySource(bytes));
    await delta.frames();
    await delta.refs();
    return "ok";
  } catch (err) {
    if (isAppError(err)) return err.code;
    throw err;
  }
}

describe("the index of a delta", () => {
  it("gives back head, frames and references, signed as heads are", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const built = sampleDelta([privateKey]);
    const delta = await openSample(Buffer.concat(built.parts));
    expect(delta.signed.id).toEqual(built.id);
    expect(delta.head).toMatchObject({ version: 7, base: { version: 6 }, target: { version: 7 } });
    expect(indexLength(delta.head)).toBe(built.length);
    const refs = await delta.refs();
    expect([refs.count, refs.sectorEnd, refs.targetFrame(2)]).toEqual([3, 10, 4]);
    expect(refs.runs(2)).toEqual([
      { first: 2, count: 1 },
      { first: 6, count: 4 },
    ]);
    expect((await delta.frames()).offset(3)).toBe(64 + 150);
    const publishers = [publicKeyBytes(publicKey)];
    expect(outcome(() => checkTrust(delta.signed, { publishers, signature: "required" }))).toBe("ok");
    const stranger = [publicKeyBytes(generateKeyPairSync("ed25519").publicKey)];
    expect(() => checkTrust(delta.signed, { publishers: stranger, signature: "required" })).toThrow(
      code("ERR_SIGNATURE_INVALID"),
    );
  });

  it("numbers rows as an image does: pieces, then frames", () => {
    const rows = new RowLayout(sampleDelta().head);
    expect([rows.pieceRows, rows.frameRows, rows.rows]).toEqual([3, 3, 6]);
  });

  it("is no index of an image, nor the other way round: ERR_FORMAT_UNSUPPORTED", () => {
    const delta = sampleDelta().parts[0] ?? new Uint8Array(0);
    const image = sampleIndex().parts[0] ?? new Uint8Array(0);
    expect(() => decodeHead(delta)).toThrow(code("ERR_FORMAT_UNSUPPORTED"));
    expect(() => decodeDeltaHead(image)).toThrow(code("ERR_FORMAT_UNSUPPORTED"));
  });

  it("may have no frames", async () => {
    const delta = await openSample(Buffer.concat(sampleDelta([], 0).parts));
    expect([(await delta.frames()).count, (await delta.refs()).count]).toEqual([0, 0]);
  });

  const id = new Uint8Array(32);
  it.each<[string, object]>([
    ["a base that is not older", { base: { version: 7, id } }],
    ["a target that is another version", { target: { version: 8, id } }],
    ["a short id", { base: { version: 6, id: new Uint8Array(31) } }],
    ["kept frames", { counts: { frames: 3, sectors: 3, kept: 1 } }],
    ["frames that the section does not fit", { counts: { frames: 4, sectors: 4, kept: 0 } }],
    ["more than 8 M frames", { counts: { frames: 8 * 2 ** 20 + 1, sectors: 8 * 2 ** 20 + 1, kept: 0 } }],
    ["more than 16 sectors a frame", { counts: { frames: 3, sectors: 49, kept: 0 } }],
    ["a pack that is too short", { pack: { length: 66, sha256: id } }],
    ["a pack that is too long for its frames", { pack: { length: 2 ** 40, sha256: id } }],
    ["a codec of stored frames", { codecs: [{ name: "store", level: 0, fingerprint: id, firstFrame: 0 }] }],
    ["no codec", { codecs: [] }],
  ])("refuses %s with ERR_INDEX_INVALID", (_, change) => {
    expect(() => decodeDeltaHead(headBlock({ ...sampleDelta().head, ...change }))).toThrow(
      code("ERR_INDEX_INVALID"),
    );
  });

  it("refuses sections of images, and references longer than 64 bytes a frame", () => {
    const { head } = sampleDelta();
    const other = head.sections.map((section) =>
      section.kind === "refs" ? { ...section, kind: "ids" } : section,
    );
    expect(() => decodeDeltaHead(headBlock({ ...head, sections: other }))).toThrow(code("ERR_INDEX_INVALID"));
    const decodeSized = (length: number): string => {
      const sections = head.sections.map((section) =>
        section.kind === "refs" ? { ...section, length } : section,
      );
      return outcome(() => decodeDeltaHead(headBlock({ ...head, sections })));
    };
    expect([decodeSized(192), decodeSized(193)]).toEqual(["ok", "ERR_INDEX_INVALID"]);
  });

  it("gives a delta or an AppError for any bytes and any flipped byte", async () => {
    const good = Buffer.concat(sampleDelta().parts);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(good.length - 1),
        fc.nat(255),
        async (body, at, byte) => {
          expect(await readOutcome(body)).toMatch(EXPECTED);
          const random = Buffer.from(headBlock(null));
          random.writeUInt32LE(Math.max(1, body.length), 8);
          random.set(body, 16);
          expect(await readOutcome(random)).toMatch(EXPECTED);
          const flipped = Buffer.from(good);
          flipped[at] = byte;
          expect(await readOutcome(flipped)).toMatch(equalBytes(flipped, good) ? /^ok$/ : EXPECTED);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** The head of the sample image, as another version. */
function sampleEnd(version: 6 | 7): SignedHead {
  const signed = decodeHead(sampleIndex().parts[0] ?? new Uint8Array(0));
  return { ...signed, head: { ...signed.head, version }, id: new Uint8Array(32).fill(version) };
}

/** The frames of a sample image of `count` sectors. */
async function sampleFrames(count: number): Promise<FrameTable> {
  return await (await IndexFile.open(memorySource(Buffer.concat(sampleIndex([], count).parts)))).frames();
}

describe("a delta beside its versions", () => {
  it("belongs to versions of its name, numbers and ids only", () => {
    const { head } = sampleDelta();
    const [base, target] = [sampleEnd(6), sampleEnd(7)];
    const check = (one: SignedHead, other: SignedHead): string =>
      outcome(() => checkDeltaEnds(head, one, other));
    expect(check(base, target)).toBe("ok");
    expect(check(target, target)).toBe("ERR_INDEX_INVALID");
    expect(check(base, { ...target, id: new Uint8Array(32) })).toBe("ERR_INDEX_INVALID");
    expect(check({ ...base, head: { ...base.head, name: "Other" } }, target)).toBe("ERR_INDEX_INVALID");
  });

  it.each([
    ["fits", 10, 5, "raw", "ok"],
    ["is refused when it names a sector that the base lacks", 9, 5, "raw", "ERR_INDEX_INVALID"],
    ["is refused when it yields a frame that the target lacks", 10, 4, "raw", "ERR_INDEX_INVALID"],
    ["is refused when it yields other content", 10, 5, "war", "ERR_INDEX_INVALID"],
  ])("%s", async (_, base, target, content, expected) => {
    const delta = await openSample(Buffer.concat(sampleDelta([], 3, content).parts));
    const parts = {
      refs: await delta.refs(),
      frames: await delta.frames(),
      baseFrames: await sampleFrames(base),
      targetFrames: await sampleFrames(target),
    };
    expect(outcome(() => checkDeltaFits(parts))).toBe(expected);
  });
});

const EXPECTED = /^(?:ok|ERR_INDEX_INVALID|ERR_FORMAT_UNSUPPORTED)$/;
