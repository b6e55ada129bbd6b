import { rm } from "node:fs/promises";
import { Level } from "level";
import { NumberSet } from "./number-set.js";

/** What tells whether a file is still the one that was hashed. */
export interface FileStamp {
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
}

export interface KnownFile extends FileStamp {
  /** What its blocks name it by; a changed file gets another one. */
  readonly number: number;
}

export interface NewFile extends KnownFile {
  readonly path: string;
}

/** u32 number, then size, time and inode as doubles. */
const VALUE_BYTES = 28;
const BATCH = 1000;
/** Says that every folder was looked through once. */
const COMPLETE_KEY = Buffer.from("c");

type Db = Level<Uint8Array, Uint8Array>;

/**
 * The files of the host whose blocks are known. Keys: `p` + path → stamp and number; `n` + number → path; `c`.
 * Nothing in it is the only copy of anything.
 */
export class HostFiles {
  readonly #db: Db;
  /** Numbers that a file bears now: blocks of others are of the past. */
  readonly #live = new NumberSet();
  #count = 0;
  #nextNumber = 1;
  #isComplete = false;

  private constructor(db: Db) {
    this.#db = db;
  }

  /** @returns undefined when the database was damaged: it is empty then, and so must the blocks be */
  static async open(folder: string): Promise<HostFiles | undefined> {
    try {
      return await HostFiles.#open(folder);
    } catch {
      // Only this thread opens it, so it is not in use: it is damaged.
      await rm(folder, { recursive: true, force: true });
      return undefined;
    }
  }

  static async #open(folder: string): Promise<HostFiles> {
    const db: Db = new Level(folder, { keyEncoding: "view", valueEncoding: "view" });
    await db.open();
    const files = new HostFiles(db);
    try {
      for await (const key of db.keys({ gte: numberKey(0), lte: numberKey(0xffff_ffff) })) {
        const number = Buffer.from(key).readUInt32BE(1);
        files.#live.add(number);
        files.#nextNumber = Math.max(files.#nextNumber, number + 1);
        files.#count += 1;
      }
      files.#isComplete = (await db.get(COMPLETE_KEY)) !== undefined;
      return files;
    } catch (err) {
      await db.close();
      throw err;
    }
  }

  get count(): number {
    return this.#count;
  }

  /** Every folder was looked through once. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  isLive(number: number): boolean {
    return this.#live.has(number);
  }

  /**
   * A number that no file bears yet. After a crash it may be one that blocks on the disk name already: wrong
   * hints, which do no harm.
   */
  takeNumber(): number {
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    return number;
  }

  /** In the order asked. */
  async find(paths: readonly string[]): Promise<readonly (KnownFile | undefined)[]> {
    const values: readonly (Uint8Array | undefined)[] = await this.#db.getMany(paths.map(pathKey));
    return values.map((value) => (value?.byteLength === VALUE_BYTES ? decodeFile(value) : undefined));
  }

  /** In the order asked; undefined for those that no file bears any more. */
  async paths(numbers: readonly number[]): Promise<readonly (string | undefined)[]> {
    const found: (string | undefined)[] = [];
    for (let at = 0; at < numbers.length; at += BATCH) {
      const keys = numbers.slice(at, at + BATCH).map(numberKey);
      const values: readonly (Uint8Array | undefined)[] = await this.#db.getMany(keys);
      for (const value of values)
        found.push(value === undefined ? undefined : Buffer.from(value).toString("utf8"));
    }
    return found;
  }

  /** Notes files whose blocks are on the disk, in place of what was known of their paths. */
  async put(files: readonly NewFile[]): Promise<void> {
    const before = await this.find(files.map(({ path }) => path));
    const operations = files.flatMap((file, i) => {
      const old = before[i];
      return [
        ...(old === undefined ? [] : [{ type: "del" as const, key: numberKey(old.number) }]),
        { type: "put" as const, key: pathKey(file.path), value: encodeFile(file) },
        { type: "put" as const, key: numberKey(file.number), value: Buffer.from(file.path) },
      ];
    });
    await this.#db.batch(operations);
    for (const [i, { number }] of files.entries()) {
      const old = before[i];
      if (old === undefined) this.#count += 1;
      else this.#live.delete(old.number);
      this.#live.add(number);
    }
  }

  /** Every folder was looked through: files that were not seen are gone. */
  async completed(isSeen: (number: number) => boolean): Promise<void> {
    let gone: number[] = [];
    for await (const key of this.#db.keys({ gte: numberKey(0), lte: numberKey(0xffff_ffff) })) {
      const number = Buffer.from(key).readUInt32BE(1);
      if (isSeen(number)) continue;
      gone.push(number);
      if (gone.length < BATCH) continue;
      await this.#remove(gone);
      gone = [];
    }
    await this.#remove(gone);
    await this.#db.put(COMPLETE_KEY, new Uint8Array(0));
    this.#isComplete = true;
  }

  async close(): Promise<void> {
    await this.#db.close();
  }

  async #remove(numbers: readonly number[]): Promise<void> {
    const paths = await this.paths(numbers);
    const keys = numbers.flatMap((number, i) => {
      const path = paths[i];
      return path === undefined ? [numberKey(number)] : [numberKey(number), pathKey(path)];
    });
    await this.#db.batch(keys.map((key) => ({ type: "del" as const, key })));
    for (const number of numbers) this.#live.delete(number);
    this.#count -= numbers.length;
  }
}

function pathKey(path: string): Uint8Array {
  return Buffer.from(`p${path}`);
}

function numberKey(number: number): Uint8Array {
  const key = Buffer.alloc(5);
  key[0] = 0x6e; // n
  key.writeUInt32BE(number, 1);
  return key;
}

function encodeFile({ number, size, mtimeMs, inode }: KnownFile): Uint8Array {
  const value = Buffer.alloc(VALUE_BYTES);
  value.writeUInt32BE(number, 0);
  for (const [i, part] of [size, mtimeMs, inode].entries()) value.writeDoubleBE(part, 4 + i * 8);
  return value;
}

function decodeFile(value: Uint8Array): KnownFile {
  const buffer = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return {
    number: buffer.readUInt32BE(0),
    size: buffer.readDoubleBE(4),
    mtimeMs: buffer.readDoubleBE(12),
    inode: buffer.readDoubleBE(20),
  };
}
