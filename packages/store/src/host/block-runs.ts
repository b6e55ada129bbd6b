import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { RECORD_BYTES, writeRecord } from "./block-record.js";
import { RunReader } from "./run-reader.js";

/** Runs of one level that are merged into one of the next: each record is written log8(runs) times. */
const FAN_IN = 8;
/** Places kept of one id; a host may hold the same block a million times. */
const MAX_PLACES = 4;
const WRITE_RECORDS = 16_384;
/** Records between turns of the event loop. */
const TURN_RECORDS = 65_536;

interface BlockRun {
  readonly path: string;
  readonly level: number;
  readonly records: number;
}

/**
 * The blocks of the host on the disk: files of records by rising id, `LEVEL-NUMBER.run`. Few writes, all of them
 * sequential, and a search reads each file once, however many ids it is for.
 */
export class BlockRuns {
  readonly #folder: string;
  #runs: readonly BlockRun[];
  #nextNumber: number;
  /** Runs are neither merged nor removed while they are searched. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(folder: string, runs: readonly BlockRun[], nextNumber: number) {
    this.#folder = folder;
    this.#runs = runs;
    this.#nextNumber = nextNumber;
  }

  /** Takes what lies in the folder; what a crash left half written is removed. */
  static open(folder: string): BlockRuns {
    const runs: BlockRun[] = [];
    let nextNumber = 1;
    for (const name of readdirSync(folder).toSorted()) {
      const path = join(folder, name);
      const match = /^(\d{1,2})-(\d{1,15})\.run$/.exec(name);
      if (match === null) {
        if (name.endsWith(".tmp")) rmSync(path, { force: true });
        continue;
      }
      const records = Math.floor(statSync(path).size / RECORD_BYTES);
      runs.push({ path, level: Number(match[1]), records });
      nextNumber = Math.max(nextNumber, Number(match[2]) + 1);
    }
    return new BlockRuns(folder, runs, nextNumber);
  }

  /** Of all runs. */
  get records(): number {
    return this.#runs.reduce((sum, run) => sum + run.records, 0);
  }

  /** Adds records that rise. */
  add(records: Buffer): void {
    if (records.length === 0) return;
    const file = this.#create(0);
    file.write(records);
    this.#runs = [...this.#runs, file.finish()];
  }

  /** Merges runs where there are many; blocks of files that are not live are left out. */
  async compact(isLive: (file: number) => boolean): Promise<void> {
    await this.#inTurn(async () => {
      for (let level = 0; ; level += 1) {
        const same = this.#runs.filter((run) => run.level === level);
        if (same.length < FAN_IN) return;
        await this.#merge(same, level + 1, isLive);
      }
    });
  }

  /** Makes one run of all, so that no block of a file that is not live takes room. */
  async mergeAll(isLive: (file: number) => boolean): Promise<void> {
    await this.#inTurn(async () => {
      const level = this.#runs.reduce((highest, run) => Math.max(highest, run.level), 1);
      if (this.#runs.length > 0) await this.#merge(this.#runs, level, isLive);
    });
  }

  /** Calls `found` with every place of the ids in `keys`, which rise; `i` is the position in `keys`. */
  async find(keys: Float64Array, found: (i: number, file: number, block: number) => void): Promise<void> {
    await this.#inTurn(async () => {
      for (const { path } of this.#runs) await searchRun(path, keys, found);
    });
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // whoever asked hears of it
    await done;
  }

  async #merge(runs: readonly BlockRun[], level: number, isLive: (file: number) => boolean): Promise<void> {
    const readers = runs.map(({ path }) => new RunReader(path));
    const file = this.#create(level);
    try {
      let [last, places, steps] = [-1, 0, 0];
      for (let least = leastOf(readers); least !== undefined; least = leastOf(readers)) {
        if (least.key !== last) places = 0;
        last = least.key;
        if (places < MAX_PLACES && isLive(least.file)) {
          file.add(least.key, least.file, least.block);
          places += 1;
        }
        least.next();
        steps += 1;
        if (steps % TURN_RECORDS === 0) await setImmediate();
      }
      const merged = file.finish();
      this.#runs = [...this.#runs.filter((run) => !runs.includes(run)), merged];
    } catch (err) {
      file.discard();
      throw err;
    } finally {
      for (const reader of readers) reader.close();
    }
    for (const { path } of runs) rmSync(path, { force: true });
  }

  #create(level: number): RunFile {
    const path = join(this.#folder, `${level}-${this.#nextNumber}.run`);
    this.#nextNumber += 1;
    return new RunFile(path, level);
  }
}

async function searchRun(
  path: string,
  keys: Float64Array,
  found: (i: number, file: number, block: number) => void,
): Promise<void> {
  const reader = new RunReader(path);
  try {
    let steps = 0;
    for (let i = 0; i < keys.length && !reader.isAtEnd; ) {
      const key = keys[i] ?? 0;
      if (reader.key < key) reader.next();
      else if (reader.key > key) i += 1;
      else {
        for (let same = i; keys[same] === key; same += 1) found(same, reader.file, reader.block);
        reader.next();
      }
      steps += 1;
      if (steps % TURN_RECORDS === 0) await setImmediate();
    }
  } finally {
    reader.close();
  }
}

function leastOf(readers: readonly RunReader[]): RunReader | undefined {
  let least: RunReader | undefined;
  for (const reader of readers) if (!reader.isAtEnd && reader.key < (least?.key ?? 2 ** 48)) least = reader;
  return least;
}

/** A run that is being written: it gets its name when it is whole and on the disk. */
class RunFile {
  readonly #path: string;
  readonly #level: number;
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(WRITE_RECORDS * RECORD_BYTES);
  #at = 0;
  #records = 0;
  #isClosed = false;

  constructor(path: string, level: number) {
    this.#path = path;
    this.#level = level;
    this.#fd = openSync(`${path}.tmp`, "w", 0o600);
  }

  add(key: number, file: number, block: number): void {
    if (this.#at === this.#buffer.length) this.#flush();
    writeRecord(this.#buffer, this.#at, key, file, block);
    this.#at += RECORD_BYTES;
  }

  write(records: Buffer): void {
    try {
      for (let done = 0; done < records.length; ) done += writeSync(this.#fd, records, done);
      this.#records += records.length / RECORD_BYTES;
    } catch (err) {
      this.discard();
      throw err;
    }
  }

  finish(): BlockRun {
    this.#flush();
    fsyncSync(this.#fd);
    this.#close();
    renameSync(`${this.#path}.tmp`, this.#path);
    return { path: this.#path, level: this.#level, records: this.#records };
  }

  discard(): void {
    this.#close();
    rmSync(`${this.#path}.tmp`, { force: true });
  }

  #flush(): void {
    this.write(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
  }

  #close(): void {
    if (!this.#isClosed) closeSync(this.#fd);
    this.#isClosed = true;
  }
}
