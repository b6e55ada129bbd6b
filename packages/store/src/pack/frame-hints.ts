import { rm } from "node:fs/promises";
import { AppError, describeError, type Logger } from "@ckmesh/core";
import type { FrameTable } from "@ckmesh/image";
import type { Level } from "level";

/** Where a frame may lie in a local pack. A hint: what is read there is hashed before it is used. */
export interface FrameHint {
  /** `NAME/VERSION` as given to `add`. */
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
}

const HASH_KEY_BYTES = 16;
const BATCH = 1000;
/** u32 pack number, u48 offset, u24 length. */
const VALUE_BYTES = 13;

type Db = Level<Uint8Array, Uint8Array>;

/**
 * The level database of a store: frame hash → place in a local pack. Nothing in it is the only copy: a
 * damaged database is thrown away and filled again from the indexes. Its LOCK is also the lock of the store.
 *
 * Keys: `f` + first 16 bytes of the frame hash; `p` + pack name → u32 number, u8 complete; `n` + u32 → name.
 */
export class FrameHints {
  readonly #db: Db;
  #packs = new Map<string, { readonly number: number; isComplete: boolean }>();

  private constructor(db: Db) {
    this.#db = db;
  }

  /** @throws {AppError} ERR_STORE_BUSY when another process has the store */
  static async open(folder: string, logger: Logger): Promise<FrameHints> {
    let db: Db;
    try {
      db = await openDb(folder);
    } catch (err) {
      if (isAppErrorBusy(err)) throw err;
      logger.warn({ err, folder }, "hints database damaged; it is made again");
      await destroyDb(folder);
      db = await openDb(folder);
    }
    const hints = new FrameHints(db);
    await hints.#loadPacks();
    return hints;
  }

  /** True when every frame of that pack has been noted. */
  has(pack: string): boolean {
    return this.#packs.get(pack)?.isComplete ?? false;
  }

  /** Notes all frames of a pack; the newest pack with a frame wins. */
  async add(pack: string, table: FrameTable): Promise<void> {
    if (this.has(pack)) return;
    const number = this.#packs.get(pack)?.number ?? this.#nextNumber();
    await this.#putPack(pack, number, false);
    for (let first = 0; first < table.count; first += BATCH) {
      const end = Math.min(first + BATCH, table.count);
      const operations = [];
      for (let frame = first; frame < end; frame++) {
        const value = encodeHint(number, table.offset(frame), table.packedLength(frame));
        operations.push({ type: "put" as const, key: frameKey(table.hash(frame)), value });
      }
      await this.#db.batch(operations);
    }
    await this.#putPack(pack, number, true);
  }

  /** The pack is gone: its hints no longer count. */
  async remove(pack: string): Promise<void> {
    if (!this.#packs.delete(pack)) return;
    await this.#db.del(packKey(pack));
  }

  /** Places of frames by their hashes, in the order asked. */
  async find(hashes: readonly Uint8Array[]): Promise<readonly (FrameHint | undefined)[]> {
    const names = new Map([...this.#packs].map(([pack, { number }]) => [number, pack]));
    const values: readonly (Uint8Array | undefined)[] = await this.#db.getMany(hashes.map(frameKey));
    return values.map((value) => {
      if (value?.byteLength !== VALUE_BYTES) return undefined;
      const { number, offset, length } = decodeHint(value);
      const pack = names.get(number);
      return pack === undefined ? undefined : { pack, offset, length };
    });
  }

  async close(): Promise<void> {
    await this.#db.close();
  }

  async #loadPacks(): Promise<void> {
    const prefix = Buffer.from("p");
    for await (const [key, value] of this.#db.iterator({ gte: prefix, lt: Buffer.from("q") })) {
      if (value.byteLength !== 5) continue;
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      const name = Buffer.from(key.subarray(1)).toString("utf8");
      this.#packs.set(name, { number: view.getUint32(0), isComplete: view.getUint8(4) === 1 });
    }
  }

  async #putPack(pack: string, number: number, isComplete: boolean): Promise<void> {
    const value = new Uint8Array(5);
    const view = new DataView(value.buffer);
    view.setUint32(0, number);
    view.setUint8(4, isComplete ? 1 : 0);
    await this.#db.put(packKey(pack), value);
    this.#packs.set(pack, { number, isComplete });
  }

  #nextNumber(): number {
    // A number that comes again after its pack was removed gives wrong hints at worst: what is read is hashed.
    let next = 1;
    for (const { number } of this.#packs.values()) next = Math.max(next, number + 1);
    return next;
  }
}

function frameKey(hash: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + HASH_KEY_BYTES);
  key[0] = 0x66;
  key.set(hash.subarray(0, HASH_KEY_BYTES), 1);
  return key;
}

function packKey(pack: string): Uint8Array {
  return Buffer.from(`p${pack}`);
}

function encodeHint(number: number, offset: number, length: number): Uint8Array {
  const value = Buffer.alloc(VALUE_BYTES);
  value.writeUInt32BE(number, 0);
  value.writeUIntBE(offset, 4, 6);
  value.writeUIntBE(length, 10, 3);
  return value;
}

function decodeHint(value: Uint8Array): { number: number; offset: number; length: number } {
  const buffer = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return {
    number: buffer.readUInt32BE(0),
    offset: buffer.readUIntBE(4, 6),
    length: buffer.readUIntBE(10, 3),
  };
}

/** Loaded only where there is a store: who packs or unpacks starts sooner without it. */
async function level(): Promise<typeof Level> {
  return (await import("level")).Level;
}

async function openDb(folder: string): Promise<Db> {
  const db: Db = new (await level())(folder, { keyEncoding: "view", valueEncoding: "view" });
  try {
    await db.open();
    return db;
  } catch (err) {
    if (hasCode(err, "LEVEL_LOCKED")) {
      throw new AppError(
        "ERR_STORE_BUSY",
        `the store ${folder.replace(/[\\/]hints$/, "")} is in use by another ckmesh process: stop it, or ask it with "ckmesh client status --store …"`,
        { cause: err },
      );
    }
    throw err;
  }
}

/** Throws the database away under its own lock; falls back to removing the folder. */
async function destroyDb(folder: string): Promise<void> {
  const statics: object = await level();
  if ("destroy" in statics && typeof statics.destroy === "function") {
    try {
      await statics.destroy(folder);
    } catch (err) {
      throw new AppError("ERR_STORE_CORRUPT", `${folder} cannot be made again: ${describeError(err)}`, {
        cause: err,
      });
    }
  }
  await rm(folder, { recursive: true, force: true });
}

function isAppErrorBusy(err: unknown): boolean {
  return hasCode(err, "ERR_STORE_BUSY");
}

function hasCode(err: unknown, code: string): boolean {
  if (!(err instanceof Error)) return false;
  if ("code" in err && err.code === code) return true;
  return err.cause !== undefined && hasCode(err.cause, code);
}
