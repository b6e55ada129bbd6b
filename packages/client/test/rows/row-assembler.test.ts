import type { VersionFiles } from "@ckmesh/store";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SamplePair } from "../../../store/test/sample-pair.js";
import { RowAssembler } from "../../src/rows/row-assembler.js";

describe("row assembler", () => {
  let pair: SamplePair;
  let files: VersionFiles;
  beforeAll(async () => {
    pair = await SamplePair.create(1);
    files = await pair.open();
    await pair.fill(files);
  });
  afterAll(async () => {
    await files.close();
    await pair.close();
  });

  it("finds every row once, whatever the parts it comes in", () => {
    const run = { first: files.table.layout.pieceRows, count: files.table.layout.frameRows };
    const all = pair.bytes(files, run);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 30 }),
        (sizes) => {
          const assembler = new RowAssembler(files.table, run);
          const out: Uint8Array[] = [];
          let rows = 0;
          for (let at = 0, turn = 0; at < all.length; turn++) {
            const size = sizes[turn % sizes.length] ?? 1;
            for (const part of assembler.push(all.subarray(at, at + size)).good) {
              rows += part.run.count;
              out.push(part.bytes);
            }
            at += size;
          }
          expect(rows).toBe(run.count);
          expect(Buffer.compare(Buffer.concat(out), all)).toBe(0);
          expect(assembler.restBytes).toBe(0);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("tells good rows from bad ones between them", () => {
    const run = { first: files.table.layout.pieceRows, count: 4 };
    const bytes = Uint8Array.from(pair.bytes(files, run));
    const at = files.table.length(run.first);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const found = new RowAssembler(files.table, run).push(bytes);
    expect(found.good.map((p) => p.run)).toEqual([
      { first: run.first, count: 1 },
      { first: run.first + 2, count: 2 },
    ]);
    expect(found.bad.map((p) => p.run)).toEqual([{ first: run.first + 1, count: 1 }]);
  });
});
