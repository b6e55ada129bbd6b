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
  /** None of its blocks are noted: there was no room, or they had to make room for others. */
  readonly isLeftOut: boolean;
}

export interface NewFile extends KnownFile {
  readonly path: string;
  /** How many of its blocks were noted. */
  readonly blocks: number;
}

/** By path: u32 number, then size, time and inode as doubles. By number: u32 blocks, then the path. */
const STAMP_BYTES = 28;
const PATH_AT = 4;
/** In the place of the blocks of a file that is left out. */
const LEFT_OUT = 0xffff_ffff;
const BATCH = 1000;
/** Says that every folder was looked through once. */
const COMPLETE_KEY = Buffer.from("c");
/** Says how the records are written. */
const FORMAT_KEY = Buffer.from("f");
const FORMAT = Buffer.from("2");

type Db = Level<Uint8Array, Uint8Array>;
type Operation =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array };

/**
 * The files of the host that were looked at. Keys: `p` + path → stamp and number; `n` + number → blocks and path;
 * `c`; `f`. Nothing in it is the only copy of anything.
 */
export class HostFiles {
  readonly #db: Db;
  /** Numbers that a file with noted blocks bears now: blocks of others are of the past. */
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
      const format: Uint8Array | undefined = await db.get(FORMAT_KEY);
      for await (const [key, value] of db.iterator(NUMBERS)) {
        if (format === undefined || !FORMAT.equals(format)) throw new Error("records of another format");
        const number = numberOf(key);
        files.#nextNumber = Math.max(files.#nextNumber, number + 1);
        if (blocksOf(value) === LEFT_OUT) continue;
        files.#live.add(number);
        files.#count += 1;
      }
      await db.put(FORMAT_KEY, FORMAT);
      files.#isComplete = (await db.get(COMPLETE_KEY)) !== undefined;
      return files;
    } catch (err) {
      await db.close();
      throw err;
    }
  }

  /** Files with noted blocks. */
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
    return values.map((value) => (value?.byteLength === STAMP_BYTES ? this.#decode(value) : undefined));
  }

  /** In the order asked; undefined for those that no file bears any more. */
  async paths(numbers: readonly number[]): Promise<readonly (string | undefined)[]> {
    const values: readonly (Uint8Array | undefined)[] = await this.#db.getMany(numbers.map(numberKey));
    return values.map((value) => (value === undefined ? undefined : pathOf(value)));
  }

  /** Notes files whose blocks are on the disk, or left out, in place of what was known of their paths. */
  async put(files: readonly NewFile[]): Promise<void> {
    const before = await this.find(files.map(({ path }) => path));
    const operations = files.flatMap((file, i): Operation[] => {
      const old = before[i];
      return [
        ...(old === undefined ? [] : [{ type: "del" as const, key: numberKey(old.number) }]),
        { type: "put", key: pathKey(file.path), value: encodeStamp(file) },
        { type: "put", key: numberKey(file.number), value: encodePlace(file) },
      ];
    });
    await this.#db.batch(operations);
    for (const [i, { number, isLeftOut }] of files.entries()) {
      const old = before[i];
      if (old !== undefined) this.#kill(old.number);
      if (isLeftOut) continue;
      this.#live.add(number);
      this.#count += 1;
    }
  }

  /**
   * Gives up blocks of the files that were noted first, until they are so many; the files stay known, so that they
   * are not read again before they change.
   * @returns how many blocks; 0: there is no such file
   */
  async leaveOutOldest(blocks: number): Promise<number> {
    let freed = 0;
    let operations: Operation[] = [];
    const numbers: number[] = [];
    for await (const [key, value] of this.#db.iterator(NUMBERS)) {
      const number = numberOf(key);
      if (!this.#live.has(number)) continue;
      freed += blocksOf(value);
      const path = pathOf(value);
      operations.push({ type: "put", key, value: encodePlace({ path, blocks: 0, isLeftOut: true }) });
      numbers.push(number);
      if (freed >= blocks) break;
      if (operations.length < BATCH) continue;
      await this.#db.batch(operations);
      operations = [];
    }
    await this.#db.batch(operations);
    for (const number of numbers) this.#kill(number);
    return freed;
  }

  /** Every folder was looked through, as far as it could be: files that are gone are forgotten. */
  async completed(isGone: (number: number, path: string) => boolean): Promise<void> {
    let gone: number[] = [];
    for await (const [key, place] of this.#db.iterator(NUMBERS)) {
      const number = numberOf(key);
      if (!isGone(number, pathOf(place))) continue;
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
    const known = await this.find(paths.map((path) => path ?? ""));
    const keys = numbers.flatMap((number, i) => {
      const path = paths[i];
      const isOwn = path !== undefined && known[i]?.number === number;
      return isOwn ? [numberKey(number), pathKey(path)] : [numberKey(number)];
    });
    await this.#db.batch(keys.map((key) => ({ type: "del" as const, key })));
    for (const number of numbers) this.#kill(number);
  }

  #kill(number: number): void {
    if (!this.#live.has(number)) return;
    this.#live.delete(number);
    this.#count -= 1;
  }

  #decode(value: Uint8Array): KnownFile {
    const buffer = asBuffer(value);
    const number = buffer.readUInt32BE(0);
    return {
      number,
      size: buffer.readDoubleBE(4),
      mtimeMs: buffer.readDoubleBE(12),
      inode: buffer.readDoubleBE(20),
      isLeftOut: !this.#live.has(number),
    };
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

const NUMBERS = { gte: numberKey(0), lte: numberKey(0xffff_ffff) };

function numberOf(key: Uint8Array): number {
  return asBuffer(key).readUInt32BE(1);
}

function blocksOf(place: Uint8Array): number {
  return asBuffer(place).readUInt32BE(0);
}

function pathOf(place: Uint8Array): string {
  return asBuffer(place).toString("utf8", PATH_AT);
}

function encodePlace({
  path,
  blocks,
  isLeftOut,
}: Pick<NewFile, "path" | "blocks" | "isLeftOut">): Uint8Array {
  const count = Buffer.alloc(PATH_AT);
  count.writeUInt32BE(isLeftOut ? LEFT_OUT : blocks);
  return Buffer.concat([count, Buffer.from(path)]);
}

function encodeStamp({ number, size, mtimeMs, inode }: NewFile): Uint8Array {
  const value = Buffer.alloc(STAMP_BYTES);
  value.writeUInt32BE(number, 0);
  for (const [i, part] of [size, mtimeMs, inode].entries()) value.writeDoubleBE(part, 4 + i * 8);
  return value;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
