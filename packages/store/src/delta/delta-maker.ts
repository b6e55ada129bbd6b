import { sha256 } from "@ckmesh/core";
import {
  bucketAt,
  FingerprintList,
  type FingerprintPlan,
  FingerprintTable,
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  MAX_FINGERPRINTS,
  ReferenceSearch,
  writeFrameRecord,
} from "@ckmesh/image";
import type { FrameReader } from "../pack/frame-reader.js";
import { BaseSectors } from "./base-sectors.js";
import {
  DELTA_FRAMES_PER_TASK,
  type DeltaFrames,
  type DeltaFramesTask,
  type DeltaWindow,
  type FingerprintTask,
  type MakeSetup,
} from "./delta-tasks.js";
import type { DictionaryEncoder } from "./dictionary-encoder.js";

/** A delta frame, with its record, that is longer than this share of the plain frame is left out. */
const MAX_SHARE = 0.9;

/**
 * One thread's part in making a delta: a sample of the base is fingerprinted, then new frames are compared with it,
 * more of the base is fingerprinted, and these frames are packed; the latter three for one window after the other.
 */
export class DeltaMaker {
  readonly #target: FrameReader;
  readonly #base: FrameReader;
  readonly #encoder: DictionaryEncoder;
  readonly #plan: FingerprintPlan;
  readonly #window: DeltaWindow;
  readonly #list = new FingerprintList();
  readonly #search: ReferenceSearch;
  readonly #sectors: BaseSectors;
  // Reused: what outlives a few frames is collected late, and holds its memory until then.
  readonly #packed = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_BYTES);
  readonly #records = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_RECORD_BYTES);

  constructor(
    target: FrameReader,
    base: FrameReader,
    encoder: DictionaryEncoder,
    { plan, slots, window, held }: MakeSetup,
  ) {
    this.#target = target;
    this.#base = base;
    this.#encoder = encoder;
    this.#plan = plan;
    this.#window = window;
    this.#search = new ReferenceSearch(new FingerprintTable(plan, slots), base.table.sectors);
    this.#sectors = new BaseSectors(base, held);
  }

  /** Answers how many fingerprints it found. @throws {AppError} ERR_PACK_INVALID when the base is damaged */
  async fingerprint({ frames, found }: FingerprintTask): Promise<number> {
    let count = 0;
    await this.#base.read(frames, true, (frame, raw) => {
      this.#list.scan(raw, this.#plan.sampleBits);
      const { hashes, starts, length } = this.#list;
      const firstSector = this.#base.table.firstSector(frame);
      for (let i = 0; i < length; i += 1) {
        found.hashes[count + i] = hashes[i] ?? 0;
        found.buckets[count + i] = bucketAt(firstSector, starts[i] ?? 0);
      }
      count += length;
      this.#sectors.hold(frame, raw);
    });
    return count;
  }

  /** @throws {AppError} ERR_PACK_INVALID when the target is damaged */
  async compare({ frames, place }: DeltaFramesTask): Promise<Uint32Array> {
    const { raw: slab, hashes, counts } = this.#window;
    const alike = new Set<number>();
    let at = place;
    await this.#target.read(frames, true, (_, raw) => {
      slab.set(raw, at * FRAME_BYTES);
      this.#list.scan(raw, this.#plan.sampleBits);
      const found = this.#list.hashes.subarray(0, this.#list.length);
      hashes.set(found, at * MAX_FINGERPRINTS);
      counts[at] = found.length;
      at += 1;
      for (const { first, count } of this.#search.alike(found)) {
        const last = this.#base.table.frameOf(first + count - 1);
        for (let frame = this.#base.table.frameOf(first); frame <= last; frame += 1) alike.add(frame);
      }
    });
    return Uint32Array.from(alike);
  }

  /** @throws {AppError} ERR_PACK_INVALID when the base is damaged */
  async pack({ frames, place }: DeltaFramesTask): Promise<DeltaFrames> {
    const { table } = this.#target;
    const { raw: slab, hashes, counts } = this.#window;
    let length = 0;
    let count = 0;
    const refs: number[] = [];
    for (const [i, frame] of frames.entries()) {
      const at = place + i;
      const first = at * MAX_FINGERPRINTS;
      const runs = this.#search.find(hashes.subarray(first, first + (counts[at] ?? 0)));
      if (runs.length === 0) continue;
      const raw = slab.subarray(at * FRAME_BYTES, at * FRAME_BYTES + table.rawLength(frame));
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
