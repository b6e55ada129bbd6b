import { ByteSink } from "./byte-sink.js";
import { VarintReader } from "./varint.js";

/**
 * Builds the `map` section: disk sectors in rising order and the unique sectors they show. A record is
 * gap (zero sectors since the last run), count, and the first unique sector as a signed distance from
 * where the last run ended; all varints.
 */
export class SectorMapWriter {
  readonly #sink = new ByteSink();
  #end = 0;
  #nextSector = 0;
  #position = 0;
  #count = 0;
  #sector = 0;

  /** Appends `count` sectors; `position` must not lie before what was added. */
  add(position: number, sector: number, count = 1): void {
    if (position === this.#position + this.#count && sector === this.#sector + this.#count) {
      this.#count += count;
      return;
    }
    this.#flush();
    this.#position = position;
    this.#sector = sector;
    this.#count = count;
  }

  finish(): Uint8Array {
    this.#flush();
    this.#count = 0;
    return this.#sink.finish();
  }

  #flush(): void {
    if (this.#count === 0) return;
    this.#sink.varint(this.#position - this.#end);
    this.#sink.varint(this.#count);
    this.#sink.signed(this.#sector - this.#nextSector);
    this.#end = this.#position + this.#count;
    this.#nextSector = this.#sector + this.#count;
  }
}

/**
 * Walks the `map` section run by run; no object per run. After `next()` the fields describe the current
 * run. Each run is checked when it is read.
 */
export class SectorMapCursor {
  /** First disk sector of the run. */
  position = 0;
  count = 0;
  /** First unique sector of the run. */
  sector = 0;
  readonly #reader: VarintReader;
  readonly #diskSectors: number;
  readonly #sectors: number;

  /** @param sectors how many unique sectors there are */
  constructor(section: Uint8Array, diskSectors: number, sectors: number) {
    this.#reader = new VarintReader(section, "map");
    this.#diskSectors = diskSectors;
    this.#sectors = sectors;
  }

  /**
   * Moves to the next run; false at the end, where `position` is the number of disk sectors.
   * @throws {AppError} ERR_INDEX_INVALID when the run leaves the disk or names a sector that is not there
   */
  next(): boolean {
    const end = this.position + this.count;
    const sectorEnd = this.sector + this.count;
    if (this.#reader.isAtEnd) {
      this.position = this.#diskSectors;
      this.count = 0;
      return false;
    }
    const position = end + this.#reader.varint();
    const count = this.#reader.varint();
    const sector = sectorEnd + this.#reader.signed();
    if (count < 1 || position + count > this.#diskSectors)
      throw this.#reader.invalid("a run leaves the disk");
    if (sector < 0 || sector + count > this.#sectors)
      throw this.#reader.invalid("a run names sectors that do not exist");
    this.position = position;
    this.count = count;
    this.sector = sector;
    return true;
  }

  /** Leaves out all (parts of) runs before disk sector `start`; as `takeUntil`. */
  skipTo(start: number): void {
    while (this.count > 0 && this.position < start)
      this.#advance(Math.min(this.count, start - this.position));
  }

  /**
   * Takes all (parts of) runs before disk sector `end`, as triples position, count, unique sector. Begins
   * where the last call ended; `next()` must have been called once before the first.
   */
  takeUntil(end: number): Float64Array {
    const triples: number[] = [];
    while (this.count > 0 && this.position < end) {
      const count = Math.min(this.count, end - this.position);
      triples.push(this.position, count, this.sector);
      this.#advance(count);
    }
    return Float64Array.from(triples);
  }

  #advance(count: number): void {
    this.position += count;
    this.sector += count;
    this.count -= count;
    if (this.count === 0) this.next();
  }
}
