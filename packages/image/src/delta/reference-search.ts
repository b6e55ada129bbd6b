import type { Run } from "@ckmesh/core";
import { MAX_DICTIONARY_RUNS, MAX_DICTIONARY_SECTORS } from "./delta-refs.js";
import { MAX_FINGERPRINTS } from "./fingerprint-scan.js";
import { BUCKET_BYTES, BUCKET_SECTORS, type FingerprintTable } from "./fingerprint-table.js";

/** Buckets of one dictionary. Each may be a run of its own. */
const MAX_BUCKETS = Math.min(MAX_DICTIONARY_RUNS, MAX_DICTIONARY_SECTORS / BUCKET_SECTORS);

/**
 * Votes of the best bucket of a dictionary. One that has a single vote mostly shares no more than those 32 bytes with
 * the frame; beside better ones it makes the delta 1.2 % smaller.
 */
const MIN_BEST_VOTES = 2;

/**
 * Share of the fingerprints of a bucket that makes the base so alike that the frames around it are looked at too. A
 * tenth: 0.4 % more bytes, 4 % less time; a sixteenth: 0.6 % fewer bytes, 5 % more time (medium NTFS disk of test/corpus).
 */
const ALIKE_SHARE = 1 / 12;

interface Candidate {
  readonly bucket: number;
  readonly votes: number;
}

/** Finds the content of a base that resembles a frame. */
export class ReferenceSearch {
  readonly #table: FingerprintTable;
  readonly #baseSectors: number;
  readonly #hits = new Uint32Array(MAX_FINGERPRINTS);

  /** @param table holds fingerprints of the base, which has `baseSectors` unique sectors */
  constructor(table: FingerprintTable, baseSectors: number) {
    this.#table = table;
    this.#baseSectors = baseSectors;
  }

  /**
   * The sectors of the base that make the best dictionary for a frame: each fingerprint votes for the bucket
   * that has it, and the buckets with most votes win. Rising, apart; empty when nothing resembles it.
   * @param hashes fingerprints of the frame, at most 2048
   */
  find(hashes: Uint32Array): readonly Run[] {
    return this.#toRuns(this.#mostVoted(hashes));
  }

  /** Those of these sectors that have a good part of the frame. */
  alike(hashes: Uint32Array): readonly Run[] {
    const most = BUCKET_BYTES / 2 ** this.#table.plan.sampleBits;
    return this.#toRuns(this.#mostVoted(hashes).filter(({ votes }) => votes >= most * ALIKE_SHARE));
  }

  #mostVoted(hashes: Uint32Array): readonly Candidate[] {
    const count = this.#table.find(hashes, this.#hits);
    return mostVoted(this.#hits.subarray(0, count).toSorted());
  }

  #toRuns(candidates: readonly Candidate[]): readonly Run[] {
    const runs: { first: number; count: number }[] = [];
    for (const { bucket } of candidates.toSorted((a, b) => a.bucket - b.bucket)) {
      const first = bucket * BUCKET_SECTORS;
      const count = Math.min(BUCKET_SECTORS, this.#baseSectors - first);
      if (count <= 0) continue;
      const last = runs.at(-1);
      if (last !== undefined && last.first + last.count === first) last.count += count;
      else runs.push({ first, count });
    }
    return runs;
  }
}

/** The buckets that appear most often in `hits`, which are sorted; of equal ones the earlier. Most votes first. */
function mostVoted(hits: Uint32Array): readonly Candidate[] {
  const best: Candidate[] = [];
  for (let i = 0; i < hits.length; ) {
    const bucket = hits[i] ?? 0;
    let end = i + 1;
    while (hits[end] === bucket) end += 1;
    const votes = end - i;
    i = end;
    if (best.length === MAX_BUCKETS && votes <= (best.at(-1)?.votes ?? 0)) continue;
    if (best.length === MAX_BUCKETS) best.pop();
    let place = best.length;
    while (place > 0 && (best[place - 1]?.votes ?? 0) < votes) place -= 1;
    best.splice(place, 0, { bucket, votes });
  }
  return (best[0]?.votes ?? 0) < MIN_BEST_VOTES ? [] : best;
}
