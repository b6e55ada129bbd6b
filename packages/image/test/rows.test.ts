import { sha256, toHex } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { type IndexHead, PieceHashes, RowLayout } from "../src/index.js";
import { layOutSections } from "../src/section-layout.js";
import { sampleIndex } from "./sample-index.js";

describe("RowLayout", () => {
  it("numbers the pieces of all sections in head order, then the frames", () => {
    const { head } = sampleIndex();
    const rows = new RowLayout(head);
    expect(rows.pieceRows).toBe(5);
    expect(rows.frameRows).toBe(3);
    expect(rows.rows).toBe(8);
    expect(rows.section("hashes")).toEqual({ first: 0, count: 1 });
    expect(rows.section("pages")).toEqual({ first: 4, count: 1 });
    expect(rows.section("kept")).toBeUndefined();
    expect(rows.piece(0)).toEqual({ kind: "hashes", offset: 4096, length: 128 });
    expect([rows.isPiece(-1), rows.isPiece(4), rows.isPiece(5)]).toEqual([false, true, false]);
    expect(() => rows.piece(5)).toThrow("unreachable");
  });

  it("cuts a section into at most 128 pieces of a power of two from 64 KiB", () => {
    const cases = [1, 65_536, 65_537, 128 * 65_536, 128 * 65_536 + 1, 512 * 2 ** 20];
    const lengths = cases.map((length) => {
      const sections = layOutSections(new Map([["map", length]]));
      const head: IndexHead = { ...sampleIndex().head, sections };
      const rows = new RowLayout(head);
      const run = rows.section("map") ?? { first: 0, count: 0 };
      let bytes = 0;
      for (let row = run.first; row < run.first + run.count; row += 1) bytes += rows.piece(row).length;
      return [bytes, run.count, sections[1]?.pieceLength];
    });
    expect(lengths).toEqual([
      [1, 1, 65_536],
      [65_536, 1, 65_536],
      [65_537, 2, 65_536],
      [8_388_608, 128, 65_536],
      [8_388_609, 65, 131_072],
      [536_870_912, 128, 4_194_304],
    ]);
  });
});

describe("PieceHashes", () => {
  it("knows the hash of each piece, that of its own section from the head", () => {
    const built = sampleIndex();
    const hashes = new PieceHashes(built.parts[1] ?? new Uint8Array(0), built.head);
    for (const [row, part] of built.parts.slice(1).entries()) {
      expect(toHex(hashes.hash(row))).toBe(toHex(sha256(part)));
      expect(hashes.matches(row, part)).toBe(true);
    }
    expect(hashes.matches(2, Uint8Array.of(1))).toBe(false);
  });

  it("refuses another section with ERR_INDEX_INVALID", () => {
    const built = sampleIndex();
    const wrong = Uint8Array.from(built.parts[1] ?? []);
    wrong[0] = (wrong[0] ?? 0) ^ 1;
    expect(() => new PieceHashes(wrong, built.head)).toThrow(
      expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
    );
    expect(() => new PieceHashes(wrong.subarray(1), built.head)).toThrow(
      expect.objectContaining({ code: "ERR_INDEX_INVALID" }),
    );
  });
});
