import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  carryOverPieces,
  type IndexFile,
  type NewIndex,
  type OldIndex,
  type SectionKind,
} from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import { openIndex } from "../src/pack/open-index.js";
import { packImage } from "../src/pack/pack-image.js";
import { testDisk, testFolder } from "./test-disk.js";

const KINDS = ["container", "frames", "kept", "map", "pages", "ids"] as const;

async function sectionsOf(
  index: IndexFile,
  kinds: readonly SectionKind[],
): Promise<Map<SectionKind, Uint8Array>> {
  const sections = new Map<SectionKind, Uint8Array>();
  for (const kind of kinds) sections.set(kind, await index.section(kind));
  return sections;
}

/** Carried bytes by section, checked against the true index. */
async function carry(
  old: IndexFile,
  next: IndexFile,
  indexPath: string,
  known: readonly SectionKind[],
): Promise<ReadonlyMap<SectionKind, number>> {
  const from: OldIndex = {
    head: old.head,
    id: old.signed.id,
    hashes: old.hashes,
    sections: await sectionsOf(old, KINDS),
  };
  const to: NewIndex = { head: next.head, hashes: next.hashes, sections: await sectionsOf(next, known) };
  const truth = await readFile(indexPath);
  const bytes = new Map<SectionKind, number>();
  for (const piece of carryOverPieces(from, to)) {
    const { kind, offset, length } = next.layout.piece(piece.row);
    expect(truth.subarray(offset, offset + length).equals(piece.bytes)).toBe(true);
    bytes.set(kind, (bytes.get(kind) ?? 0) + length);
  }
  return bytes;
}

describe("carryOverPieces", () => {
  it("yields true bytes of each section: the recipe at once, kept frames with `kept`, pages with `map`", async () => {
    const folder = await testFolder();
    const diskPath = join(folder, "disk.img");
    // 96 MiB of sectors that cost little: each different, mostly zeros. Enough for several pieces of `frames`.
    const disk = Buffer.alloc(96 * 2 ** 20);
    for (let sector = 0; sector * 4096 < disk.length; sector += 1)
      disk.writeUInt32LE(sector + 1, sector * 4096);
    await writeFile(diskPath, disk);
    const one = await packImage({ diskPath, name: "Win", outDir: folder, trim: true });
    testDisk(40, 3).copy(disk, disk.length - 40 * 4096);
    await writeFile(diskPath, disk);
    const two = await packImage({ diskPath, name: "Win", outDir: folder, previous: one.indexPath });
    const [old, next] = [await openIndex(one.indexPath), await openIndex(two.indexPath)];
    const first = await carry(old, next, two.indexPath, []);
    expect(first.get("container")).toBe((await next.section("container")).length);
    const withKept = await carry(old, next, two.indexPath, ["kept"]);
    expect(withKept.get("frames") ?? 0).toBeGreaterThanOrEqual(65_536);
    expect(withKept.get("ids")).toBe(2 * 65_536);
  });

  it("yields all pages of a disk that did not change, once kept and map are here", async () => {
    const folder = await testFolder();
    const diskPath = join(folder, "disk.img");
    await writeFile(diskPath, testDisk(1000));
    const one = await packImage({ diskPath, name: "Win", outDir: folder });
    // The same sectors, but another pack: codec and map differ from what a copy would have.
    const two = await packImage({ diskPath, name: "Win", outDir: folder, previous: one.indexPath, level: 5 });
    const [old, next] = [await openIndex(one.indexPath), await openIndex(two.indexPath)];
    const known = await carry(old, next, two.indexPath, ["kept", "map"]);
    expect(known.get("pages")).toBe((await next.section("pages")).length);
    expect(known.get("frames")).toBe((await next.section("frames")).length);
  });

  it("yields nothing wrong for an index of another lineage", async () => {
    const folder = await testFolder();
    const [a, b] = [join(folder, "a.img"), join(folder, "b.img")];
    await writeFile(a, testDisk(300, 1));
    await writeFile(b, testDisk(310, 2));
    const one = await packImage({ diskPath: a, name: "A", outDir: folder });
    const base = await packImage({ diskPath: b, name: "B", outDir: folder });
    const two = await packImage({ diskPath: b, name: "B", outDir: folder, previous: base.indexPath });
    const [old, next] = [await openIndex(one.indexPath), await openIndex(two.indexPath)];
    expect((await carry(old, next, two.indexPath, ["kept", "map"])).size).toBe(0);
  });
});
