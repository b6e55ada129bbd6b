import type { Run } from "@ckmesh/core";
import { ByteSink } from "../byte-sink.js";
import { FRAME_SECTORS, MAX_ROWS } from "../constants.js";
import { VarintReader } from "../varint.js";

/** Runs of base sectors that the dictionary of one frame is made of, at most. */
export const MAX_DICTIONARY_RUNS = 8;
/** Base sectors of one dictionary, at most: 128 KiB. */
export const MAX_DICTIONARY_SECTORS = 32;
/** Bytes of one record: frame 4, run count 1, per run start 4 and length 1; rounded up. */
export const MAX_REFS_RECORD_BYTES = 64;
/** Bytes of two numbers, the least that a run takes. */
const MIN_RUN_BYTES = 2;
/** Unique sectors that any version can have. */
const MAX_SECTORS = MAX_ROWS * FRAME_SECTORS;

/** Builds the `refs` section; the records come in rising order of their frames. */
export class DeltaRefsWriter {
  readonly #sink = new ByteSink();
  #nextFrame = 0;
  #sectorEnd = 0;

  /**
   * @param frame number of a frame of the target
   * @param runs base sectors of its dictionary: rising, apart
   */
  add(frame: number, runs: readonly Run[]): void {
    this.#sink.varint(frame - this.#nextFrame);
    this.#sink.varint(runs.length);
    for (const [i, { first, count }] of runs.entries()) {
      const distance = first - this.#sectorEnd;
      if (i === 0) this.#sink.signed(distance);
      else this.#sink.varint(distance);
      this.#sink.varint(count);
      this.#sectorEnd = first + count;
    }
    this.#nextFrame = frame + 1;
  }

  finish(): Uint8Array {
    return this.#sink.finish();
  }
}

/**
 * The `refs` section: which frame of the target each frame of the delta yields, and of which sectors of the
 * base its dictionary is made. No object per frame.
 */
export class DeltaRefs {
  readonly count: number;
  /** One past the highest base sector that is named; 0 when none is. */
  readonly sectorEnd: number;
  readonly #frames: Uint32Array;
  /** First run by record, and the end. */
  readonly #firstRuns: Uint32Array;
  readonly #starts: Uint32Array;
  readonly #lengths: Uint8Array;

  /**
   * Checks every record. That base and target have what is named shows only beside them: `checkDeltaFits`.
   * @param frames how many frames the delta has; at most 8,388,608, as every head is checked
   * @throws {AppError} ERR_INDEX_INVALID
   */
  constructor(section: Uint8Array, frames: number) {
    const reader = new VarintReader(section, "refs");
    const most = Math.floor(section.length / MIN_RUN_BYTES);
    this.count = frames;
    this.#frames = new Uint32Array(frames);
    this.#firstRuns = new Uint32Array(frames + 1);
    this.#starts = new Uint32Array(most);
    this.#lengths = new Uint8Array(most);
    let frame = -1;
    let end = 0;
    let highest = 0;
    let run = 0;
    for (let k = 0; k < frames; k += 1) {
      frame += 1 + reader.varint();
      if (frame >= MAX_ROWS) throw reader.invalid("it names a frame that no version has");
      const runs = reader.varint();
      if (runs < 1 || runs > MAX_DICTIONARY_RUNS) throw reader.invalid(`a dictionary of ${runs} runs`);
      let sectors = 0;
      for (let i = 0; i < runs; i += 1) {
        const start = end + (i === 0 ? reader.signed() : reader.varint());
        const length = reader.varint();
        sectors += length;
        if (length < 1 || sectors > MAX_DICTIONARY_SECTORS)
          throw reader.invalid("a dictionary is empty or too long");
        if (start < 0 || start + length > MAX_SECTORS) throw reader.invalid("a run names impossible sectors");
        this.#starts[run] = start;
        this.#lengths[run] = length;
        run += 1;
        end = start + length;
      }
      highest = Math.max(highest, end);
      this.#frames[k] = frame;
      this.#firstRuns[k + 1] = run;
    }
    if (!reader.isAtEnd) throw reader.invalid("bytes follow its last record");
    this.sectorEnd = highest;
  }

  /** The frame of the target that frame `k` of the delta yields. Rises with `k`. */
  targetFrame(k: number): number {
    return this.#frames[k] ?? 0;
  }

  /** Base sectors of the dictionary of frame `k`, in their order in it: rising, apart. */
  runs(k: number): readonly Run[] {
    const runs: Run[] = [];
    const end = this.#firstRuns[k + 1] ?? 0;
    for (let run = this.#firstRuns[k] ?? 0; run < end; run += 1) {
      runs.push({ first: this.#starts[run] ?? 0, count: this.#lengths[run] ?? 0 });
    }
    return runs;
  }
}
