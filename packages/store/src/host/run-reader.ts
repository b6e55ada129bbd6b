import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { RECORD_BYTES, recordBlock, recordFile, recordKey } from "./block-record.js";

/** Records read at once: 230 KB. */
const READ_RECORDS = 16_384;
/** Above every id. */
const END_KEY = 2 ** 48;

/** Reads a run of blocks from its beginning to its end. What does not fill a record is left out. */
export class RunReader {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(READ_RECORDS * RECORD_BYTES);
  /** Records that are not in the buffer yet. */
  #left: number;
  #position = 0;
  #at = 0;
  #end = 0;
  /** Id of the current record; 2^48 after the last one. */
  key = END_KEY;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.#left = Math.floor(fstatSync(this.#fd).size / RECORD_BYTES);
    this.#load();
  }

  get isAtEnd(): boolean {
    return this.key === END_KEY;
  }

  get file(): number {
    return recordFile(this.#buffer, this.#at);
  }

  get block(): number {
    return recordBlock(this.#buffer, this.#at);
  }

  next(): void {
    this.#at += RECORD_BYTES;
    this.#load();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #load(): void {
    if (this.#at >= this.#end) {
      this.#at = 0;
      this.#end = 0;
      const bytes = Math.min(this.#left, READ_RECORDS) * RECORD_BYTES;
      while (this.#end < bytes) {
        const read = readSync(this.#fd, this.#buffer, this.#end, bytes - this.#end, this.#position);
        if (read === 0) break;
        this.#end += read;
        this.#position += read;
      }
      this.#end -= this.#end % RECORD_BYTES;
      this.#left = this.#end === bytes ? this.#left - bytes / RECORD_BYTES : 0;
    }
    this.key = this.#end === 0 ? END_KEY : recordKey(this.#buffer, this.#at);
  }
}
