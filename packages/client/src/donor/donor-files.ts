import { AppError, Bitfield, type Run } from "@ckmesh/core";
import type { SectionKind, SignedHead } from "@ckmesh/image";
import { type RowSource, RowTable } from "@ckmesh/store";
import type { SwarmFiles } from "../rows/swarm-files.js";
import { type FrameMatch, matchFrames } from "./frame-match.js";

/** Sections of the donor's index that are needed: they say which of its frames are the target's too. */
export const DONOR_SECTIONS: ReadonlySet<SectionKind> = new Set(["hashes", "frames"]);
/** Most bytes of these sections: they are kept in memory. 1.2 million frames, 75 GiB of disk content. */
export const MAX_DONOR_BYTES = 64 * 1024 * 1024;

/** Hears what happens to rows of the target. */
export interface TargetListener {
  stored(runs: readonly Run[]): void;
  /** They were damaged, and are no longer held. */
  lost(runs: readonly Run[]): void;
}

/**
 * The rows of a version that is joined only for the frames that another one, the target, has too. Index pieces
 * lie in memory, frames in the target's pack; nothing of the donor itself is on the disk.
 */
export class DonorFiles implements SwarmFiles {
  readonly signed: SignedHead;
  readonly table: RowTable;
  readonly have: Bitfield;
  readonly #target: SwarmFiles;
  readonly #tell: TargetListener;
  readonly #sections = new Map<SectionKind, Uint8Array>();
  #match: FrameMatch | undefined;

  constructor(signed: SignedHead, target: SwarmFiles, tell: TargetListener) {
    this.signed = signed;
    this.table = new RowTable(signed.head);
    this.have = new Bitfield(this.table.layout.rows);
    this.#target = target;
    this.#tell = tell;
    for (const { kind, length } of signed.head.sections)
      if (DONOR_SECTIONS.has(kind)) this.#sections.set(kind, new Uint8Array(length));
  }

  get frames(): SwarmFiles["frames"] {
    return this.table.frames;
  }

  /** Both frame tables are known: finds what they have in common. Returns the rows that the target lacks. */
  async match(): Promise<Bitfield> {
    const { frames } = this;
    const { layout } = this.table;
    if (frames === undefined || this.#target.frames === undefined)
      throw new Error("unreachable: match without frame tables");
    this.#match = await matchFrames(frames, this.#target.frames);
    const wanted = new Bitfield(layout.rows);
    for (let frame = 0; frame < frames.count; frame++) {
      const row = this.#targetRow(layout.pieceRows + frame);
      if (row === undefined) continue;
      wanted.add(layout.pieceRows + frame);
      if (this.#target.have.has(row)) this.have.add(layout.pieceRows + frame);
    }
    return wanted;
  }

  /** Rows of the target came another way: the donor's rows of the same content, which are held now too. */
  hold(targetRuns: readonly Run[]): readonly Run[] {
    const runs = this.donorRuns(targetRuns);
    for (const run of runs) this.have.addRun(run);
    return runs;
  }

  /** The donor's rows of the same content, as far as there are any. */
  donorRuns(targetRuns: readonly Run[]): readonly Run[] {
    const { layout } = this.table;
    const border = this.#target.table.layout.pieceRows;
    const runs: { first: number; count: number }[] = [];
    for (const { first, count } of targetRuns) {
      for (let row = Math.max(first, border); row < first + count; row++) {
        const frame = this.#match?.donorOf[row - border] ?? -1;
        if (frame < 0) continue;
        const at = layout.pieceRows + frame;
        const last = runs.at(-1);
        if (last !== undefined && last.first + last.count === at) last.count += 1;
        else runs.push({ first: at, count: 1 });
      }
    }
    return runs;
  }

  /** Frames of the target that this version has not got; known from `match` on. */
  targetNews(): Bitfield {
    const { layout } = this.#target.table;
    const rows = new Bitfield(layout.rows);
    for (let row = layout.pieceRows; row < layout.rows; row++)
      if ((this.#match?.donorOf[row - layout.pieceRows] ?? -1) < 0) rows.add(row);
    return rows;
  }

  /** Frames of the target that it lacks and for which `accept` takes the donor's row. */
  targetRows(accept: (donorRow: number) => boolean): Bitfield {
    const { layout } = this.#target.table;
    const rows = new Bitfield(layout.rows);
    for (const { first, count } of this.#target.have.runs(false, layout.pieceRows)) {
      for (let row = first; row < first + count; row++) {
        const frame = this.#match?.donorOf[row - layout.pieceRows] ?? -1;
        if (frame >= 0 && accept(this.table.layout.pieceRows + frame)) rows.add(row);
      }
    }
    return rows;
  }

  /** As `VersionFiles.read`; a frame that the target has not got is an ERR_STORE_CORRUPT. */
  async read(run: Run): Promise<Uint8Array> {
    const { layout } = this.table;
    if (layout.isPiece(run.first)) return this.#piecePlace(run).slice();
    const parts: Uint8Array[] = [];
    for (const part of this.#counterparts(run)) {
      if (!this.#target.have.hasAll(part.first, part.count))
        throw new AppError("ERR_STORE_CORRUPT", "a frame of the target was dropped");
      parts.push(await this.#target.read(part));
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  /** As `VersionFiles.write`: pieces go to memory, frames to the target. */
  async write(run: Run, bytes: Uint8Array, source: RowSource): Promise<void> {
    if (this.table.layout.isPiece(run.first)) this.#piecePlace(run).set(bytes);
    else await this.#writeFrames(run, bytes, source);
    this.have.addRun(run);
    this.#learn();
  }

  /** As `VersionFiles.recheck`; what the target drops, the donor drops. */
  async recheck(runs: readonly Run[]): Promise<readonly Run[]> {
    const { pieceRows } = this.table.layout;
    const held = runs.flatMap((run) => [...this.have.runs(true, run.first, run.count)]);
    const frames = held.flatMap(({ first, count }) => {
      const from = Math.max(first, pieceRows);
      return from < first + count ? this.targetRuns({ first: from, count: first + count - from }) : [];
    });
    const dropped = await this.#target.recheck(frames);
    if (dropped.length > 0) this.#tell.lost(dropped);
    const lost = this.donorRuns(dropped);
    for (const { first, count } of lost)
      for (let row = first; row < first + count; row++) this.have.delete(row);
    return lost;
  }

  async #writeFrames(run: Run, bytes: Uint8Array, source: RowSource): Promise<void> {
    const stored: Run[] = [];
    let at = 0;
    for (const part of this.#counterparts(run)) {
      const length = this.#target.table.runLength(part);
      await this.#target.write(part, bytes.subarray(at, at + length), source);
      at += length;
      stored.push(part);
    }
    this.#tell.stored(stored);
  }

  #learn(): void {
    const { layout } = this.table;
    const hashes = layout.section("hashes");
    const section = this.#sections.get("hashes");
    if (!this.table.knowsPieces && section !== undefined && this.#holds(hashes))
      this.table.learnHashes(section);
    const frames = this.#sections.get("frames");
    if (this.table.frames === undefined && frames !== undefined && this.#holds(layout.section("frames")))
      this.table.learnFrames(frames);
  }

  #holds(run: Run | undefined): boolean {
    return run !== undefined && this.have.hasAll(run.first, run.count);
  }

  /** Where pieces of one wanted section lie. */
  #piecePlace(run: Run): Uint8Array {
    const { layout } = this.table;
    const [first, last] = [layout.piece(run.first), layout.piece(run.first + run.count - 1)];
    const section = this.#sections.get(first.kind);
    const start = this.signed.head.sections.find(({ kind }) => kind === first.kind)?.offset;
    if (section === undefined || start === undefined || last.kind !== first.kind)
      throw new AppError("ERR_STORE_CORRUPT", `no ${first.kind} of version ${this.signed.head.version} here`);
    return section.subarray(first.offset - start, last.offset + last.length - start);
  }

  /** The target's rows of a run of rows; fewer where they have no counterpart. */
  targetRuns({ first, count }: Run): Run[] {
    const runs: { first: number; count: number }[] = [];
    for (let row = first; row < first + count; row++) {
      const at = this.#targetRow(row);
      if (at === undefined) continue;
      const last = runs.at(-1);
      if (last !== undefined && last.first + last.count === at) last.count += 1;
      else runs.push({ first: at, count: 1 });
    }
    return runs;
  }

  /** As `targetRuns`, of rows that were matched: only those are asked for and offered. */
  #counterparts(run: Run): Run[] {
    const runs = this.targetRuns(run);
    if (runs.reduce((sum, { count }) => sum + count, 0) !== run.count)
      throw new Error("unreachable: frames that were not matched");
    return runs;
  }

  #targetRow(row: number): number | undefined {
    const frame = this.#match?.targetOf[row - this.table.layout.pieceRows] ?? -1;
    return frame < 0 ? undefined : this.#target.table.layout.pieceRows + frame;
  }
}
