import { sha256 } from "@ckmesh/core";
import {
  FingerprintList,
  FingerprintTable,
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  ReferenceSearch,
  SECTOR_BYTES,
  writeFrameRecord,
} from "@ckmesh/image";
import type { FramesTask } from "../image-tasks.js";
import type { FrameReader } from "../pack/frame-reader.js";
import { BaseSectors } from "./base-sectors.js";
import {
  DELTA_FRAMES_PER_TASK,
  type DeltaFrames,
  type DeltaFramesTask,
  type FingerprintSetup,
} from "./delta-tasks.js";
import type { DictionaryEncoder } from "./dictionary-encoder.js";

/** A delta frame, with its record, that is longer than this share of the plain frame is left out. */
const MAX_SHARE = 0.9;

/** One thread's part in making a delta: first all of the base is fingerprinted, then frames are packed. */
export class DeltaMaker {
  readonly #target: FrameReader;
  readonly #base: FrameReader;
  readonly #encoder: DictionaryEncoder;
  readonly #table: FingerprintTable;
  readonly #list = new FingerprintList(FRAME_BYTES);
  readonly #search: ReferenceSearch;
  readonly #sectors: BaseSectors;
  // Reused: what outlives a few frames is collected late, and holds its memory until then.
  readonly #raw = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_BYTES);
  readonly #packed = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_BYTES);
  readonly #records = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_RECORD_BYTES);

  constructor(
    target: FrameReader,
    base: FrameReader,
    encoder: DictionaryEncoder,
    { plan, slots }: FingerprintSetup,
  ) {
    this.#target = target;
    this.#base = base;
    this.#encoder = encoder;
    this.#table = new FingerprintTable(plan, slots);
    this.#search = new ReferenceSearch(this.#table, base.table.sectors);
    this.#sectors = new BaseSectors(base);
  }

  /** @throws {AppError} ERR_PACK_INVALID when the base is damaged */
  async fingerprint({ first, count }: FramesTask): Promise<void> {
    const frames = Uint32Array.from({ length: count }, (_, i) => first + i);
    await this.#base.read(frames, true, (frame, raw) => {
      this.#list.scanBase(raw, this.#table.plan.sampleBits);
      this.#table.add(this.#list, this.#base.table.firstSector(frame) * SECTOR_BYTES);
    });
  }

  /** @throws {AppError} ERR_PACK_INVALID when base or target are damaged */
  async pack({ frames }: DeltaFramesTask): Promise<DeltaFrames> {
    const { table } = this.#target;
    await this.#target.read(frames, true, (frame, raw) => {
      this.#raw.set(raw, frames.indexOf(frame) * FRAME_BYTES);
    });
    let length = 0;
    let count = 0;
    const refs: number[] = [];
    for (const [i, frame] of frames.entries()) {
      const raw = this.#raw.subarray(i * FRAME_BYTES, i * FRAME_BYTES + table.rawLength(frame));
      const runs = this.#search.find(raw);
      if (runs.length === 0) continue;
      const packed = this.#encoder.pack(raw, await this.#sectors.dictionary(runs));
      if (packed.length + FRAME_RECORD_BYTES > MAX_SHARE * table.packedLength(frame)) continue;
      this.#packed.set(packed, length);
      length += packed.length;
      writeFrameRecord(this.#records.subarray(count * FRAME_RECORD_BYTES), {
        packedLength: packed.length,
        sectors: table.sectorCount(frame),
        hash: sha256(packed),
        rawHash: table.rawHash(frame),
      });
      count += 1;
      refs.push(frame, runs.length);
      for (const run of runs) refs.push(run.first, run.count);
    }
    return {
      packed: this.#packed.slice(0, length),
      records: this.#records.slice(0, count * FRAME_RECORD_BYTES),
      refs: Uint32Array.from(refs),
    };
  }
}
