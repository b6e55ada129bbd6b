import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteSink } from "../../src/byte-sink.js";
import { DeltaRefs, DeltaRefsWriter } from "../../src/index.js";
import { outcome } from "../outcome.js";

interface Record {
  readonly frame: number;
  readonly runs: readonly { readonly first: number; readonly count: number }[];
}

/** Records that the format allows: rising frames, 1 to 8 rising runs of at most 4 sectors each. */
const records = fc
  .array(
    fc.record({
      skipped: fc.nat(1000),
      start: fc.nat(100_000_000),
      runs: fc.array(fc.record({ gap: fc.nat(10_000), count: fc.integer({ min: 1, max: 4 }) }), {
        minLength: 1,
        maxLength: 8,
      }),
    }),
    { maxLength: 50 },
  )
  .map((drafts): readonly Record[] => {
    let frame = -1;
    return drafts.map(({ skipped, start, runs }) => {
      frame += 1 + skipped;
      let at = start;
      return {
        frame,
        runs: runs.map(({ gap, count }) => {
          const first = at + gap;
          at = first + count;
          return { first, count };
        }),
      };
    });
  });

function encode(all: readonly Record[]): Uint8Array {
  const writer = new DeltaRefsWriter();
  for (const { frame, runs } of all) writer.add(frame, runs);
  return writer.finish();
}

/** Any numbers as one section. */
function varints(numbers: readonly number[]): Uint8Array {
  const sink = new ByteSink();
  for (const number of numbers) sink.varint(number);
  return sink.finish();
}

describe("DeltaRefs", () => {
  it("gives back every record, whatever they name, in at most 64 bytes each", () => {
    fc.assert(
      fc.property(records, (all) => {
        const section = encode(all);
        const refs = new DeltaRefs(section, all.length);
        const read = all.map((_, k) => ({ frame: refs.targetFrame(k), runs: refs.runs(k) }));
        expect(read).toEqual(all);
        const ends = all.flatMap(({ runs }) => runs.map(({ first, count }) => first + count));
        expect(refs.sectorEnd).toBe(Math.max(0, ...ends));
        expect(section.length).toBeLessThanOrEqual(all.length * 64);
      }),
    );
  });

  // frame, runs, then start (signed in the first run: twice its value) and length of each
  it.each<[string, number[], string]>([
    ["one run", [0, 1, 0, 32], "ok"],
    ["eight runs", [0, 8, ...Array.from({ length: 8 }, () => [2, 4]).flat()], "ok"],
    ["no run", [0, 0], "ERR_INDEX_INVALID"],
    ["nine runs", [0, 9, ...Array.from({ length: 9 }, () => [2, 1]).flat()], "ERR_INDEX_INVALID"],
    ["33 sectors", [0, 1, 0, 33], "ERR_INDEX_INVALID"],
    ["33 sectors in two runs", [0, 2, 0, 32, 1, 1], "ERR_INDEX_INVALID"],
    ["an empty run", [0, 1, 0, 0], "ERR_INDEX_INVALID"],
    ["a run before sector 0", [0, 1, 1, 1], "ERR_INDEX_INVALID"],
    ["the last sector that any version has", [0, 1, (2 ** 27 - 1) * 2, 1], "ok"],
    ["a sector behind it", [0, 1, 2 ** 27 * 2, 1], "ERR_INDEX_INVALID"],
    ["the last frame that any version has", [2 ** 23 - 1, 1, 0, 1], "ok"],
    ["a frame behind it", [2 ** 23, 1, 0, 1], "ERR_INDEX_INVALID"],
    ["a cut record", [0, 1, 0], "ERR_INDEX_INVALID"],
    ["bytes behind the last record", [0, 1, 0, 1, 0], "ERR_INDEX_INVALID"],
  ])("decides about %s", (_, numbers, expected) => {
    expect(outcome(() => new DeltaRefs(varints(numbers), 1))).toBe(expected);
  });

  it("gives references or ERR_INDEX_INVALID for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(20), (bytes, frames) => {
        expect(outcome(() => new DeltaRefs(bytes, frames))).toMatch(/^(?:ok|ERR_INDEX_INVALID)$/);
      }),
      { numRuns: 1000 },
    );
  });
});
