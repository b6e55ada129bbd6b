import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  buildIndex,
  checkTrust,
  decodeHead,
  decodeKept,
  IndexFile,
  publicKeyBytes,
  renumberIndex,
} from "../src/index.js";
import { memorySource, sampleIndex, sampleParts } from "./sample-index.js";

const { privateKey } = generateKeyPairSync("ed25519");
const TO = {
  version: 9,
  createdAt: 1_800_000_000,
  secret: new Uint8Array(32).fill(3),
  signers: [privateKey],
};

async function open(parts: readonly Uint8Array[]): Promise<IndexFile> {
  return IndexFile.open(memorySource(Buffer.concat(parts)));
}

describe("renumberIndex", () => {
  it.each([1, 8, 13])("keeps all of %i frames and every section of the old version", async (frames) => {
    const built = sampleIndex([], frames);
    const old = await open(built.parts);
    const next = await open((await renumberIndex(old, TO)).parts);
    expect(next.head).toMatchObject({
      name: "Sample",
      version: 9,
      previous: { version: 7, id: built.id },
      createdAt: TO.createdAt,
      disk: old.head.disk,
      pack: old.head.pack,
      counts: { ...old.head.counts, kept: frames },
    });
    expect(Buffer.compare(next.head.secret, TO.secret)).toBe(0);
    for (const kind of ["container", "frames", "map", "pages"] as const) {
      expect(Buffer.compare(await next.section(kind), await old.section(kind))).toBe(0); // oxlint-disable-line no-await-in-loop
    }
    expect(decodeKept(await next.section("kept"), next.head, frames).count).toBe(frames);
  });

  it("signs the new head", async () => {
    const { parts } = await renumberIndex(await open(sampleIndex().parts), TO);
    const signed = decodeHead(Buffer.concat(parts));
    const policy = { publishers: [publicKeyBytes(privateKey)], signature: "required" } as const;
    expect(() => checkTrust(signed, policy)).not.toThrow();
  });

  it("replaces the kept frames of a version that had some itself", async () => {
    const { head, sections } = sampleParts(10);
    const built = buildIndex(
      { ...head, previous: { version: 6, id: new Uint8Array(32) }, counts: { ...head.counts, kept: 1 } },
      new Map([...sections, ["kept", Uint8Array.of(0b1000_0000)] as const]),
      [],
    );
    const next = await open((await renumberIndex(await open(built.parts), TO)).parts);
    expect(next.head.previous?.version).toBe(7);
    expect([...(await next.section("kept"))]).toEqual([0xff, 0b1100_0000]);
  });

  it("refuses a damaged index, and one of an opaque pack", async () => {
    const bytes = Buffer.concat(sampleIndex([], 300).parts);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await expect(renumberIndex(await open([bytes]), TO)).rejects.toMatchObject({ code: "ERR_INDEX_INVALID" });
    const { head, sections } = sampleParts();
    const { disk: _disk, ...foreign } = head;
    const opaque = buildIndex(
      {
        ...foreign,
        codecs: [
          { ...foreign.codecs[0], name: "store", level: 0, fingerprint: new Uint8Array(32), firstFrame: 0 },
        ],
      },
      new Map([["frames", sections.get("frames") ?? new Uint8Array()]]),
      [],
    );
    await expect(renumberIndex(await open(opaque.parts), TO)).rejects.toMatchObject({
      code: "ERR_FORMAT_UNSUPPORTED",
    });
  });
});
