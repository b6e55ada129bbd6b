import { closeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { equalBytes, sha256 } from "@ckmesh/core";
import { FRAME_BYTES, HASH_BYTES, RAW_HASH_BYTES, SECTOR_BYTES } from "@ckmesh/image";
import { readFully } from "../files/file-io.js";
import { fileErrorCode } from "../files/store-error.js";
import { createCodec, type FrameCodec } from "../pack/codec.js";
import { CodecGarbage } from "../pack/codec-garbage.js";
import { HOST_FRAMES_PER_TASK, type HostFrames, type HostFramesTask } from "./host-frame-tasks.js";
import { openHostFile } from "./open-host-file.js";

/** Host files that stay open, as neighbouring frames mostly need the same ones. */
const MAX_OPEN_FILES = 32;

interface OpenFile {
  readonly fd: number;
  readonly size: number;
}

/** Makes frames out of blocks of host files, in a worker thread. Nothing that it hands out is unproven. */
export class HostFrameMaker {
  /** The one used longest ago first; undefined: it cannot be opened. */
  readonly #files = new Map<string, OpenFile | undefined>();
  readonly #byLevel = new Map<number, FrameCodec>();
  readonly #garbage = new CodecGarbage();
  // Reused: what outlives a few frames is collected late, and holds its memory until then.
  readonly #raw = new Uint8Array(FRAME_BYTES);
  readonly #packed = new Uint8Array(HOST_FRAMES_PER_TASK * FRAME_BYTES);

  /** A frame whose files are gone, changed or unreadable is left out. */
  async make(task: HostFramesTask): Promise<HostFrames> {
    const lengths = new Uint32Array(task.counts.length);
    let [length, sector] = [0, 0];
    for (const [i, count] of task.counts.entries()) {
      const raw = this.#raw.subarray(0, count * SECTOR_BYTES);
      const packed = this.#readSectors(task, sector, raw) ? this.#pack(task, i, raw) : undefined;
      sector += count;
      if (packed === undefined) continue;
      this.#packed.set(packed, length);
      lengths[i] = packed.length;
      length += packed.length;
    }
    // What the codec returned is freed between turns only.
    await setImmediate();
    return { lengths, packed: this.#packed.slice(0, length) };
  }

  #pack(task: HostFramesTask, i: number, raw: Uint8Array): Uint8Array | undefined {
    const rawHash = task.rawHashes.subarray(i * RAW_HASH_BYTES, (i + 1) * RAW_HASH_BYTES);
    if (!equalBytes(sha256(raw).subarray(0, RAW_HASH_BYTES), rawHash)) return undefined;
    this.#garbage.add();
    const packed = this.#codec(task.levels[i] ?? 0).pack(raw);
    const hash = task.hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES);
    return equalBytes(sha256(packed), hash) ? packed : undefined;
  }

  /** Fills `raw` with the blocks of its sectors; blocks that follow each other in a file are read at once. */
  #readSectors({ paths, fileOf, blockOf }: HostFramesTask, first: number, raw: Uint8Array): boolean {
    const end = first + raw.length / SECTOR_BYTES;
    for (let sector = first; sector < end; ) {
      const [file = 0, block = 0] = [fileOf[sector], blockOf[sector]];
      let count = 1;
      while (
        sector + count < end &&
        fileOf[sector + count] === file &&
        blockOf[sector + count] === block + count
      )
        count += 1;
      const at = (sector - first) * SECTOR_BYTES;
      const target = raw.subarray(at, at + count * SECTOR_BYTES);
      if (!this.#readBlocks(paths[file - 1] ?? "", block, target)) return false;
      sector += count;
    }
    return true;
  }

  #readBlocks(path: string, block: number, target: Uint8Array): boolean {
    const file = this.#open(path);
    const start = block * SECTOR_BYTES;
    if (file === undefined || start >= file.size) return false;
    const length = Math.min(target.length, file.size - start);
    target.fill(0, length);
    try {
      return readFully(file.fd, target.subarray(0, length), start);
    } catch (err) {
      if (fileErrorCode(err) === undefined) throw err;
      return false; // locked or damaged: then it comes from elsewhere
    }
  }

  #open(path: string): OpenFile | undefined {
    const isKnown = this.#files.has(path);
    const opened = isKnown ? undefined : openHostFile(path);
    const file = isKnown ? this.#files.get(path) : opened && { fd: opened.fd, size: opened.stats.size };
    this.#files.delete(path);
    this.#files.set(path, file);
    if (this.#files.size > MAX_OPEN_FILES) {
      const [oldest] = this.#files;
      if (oldest?.[1] !== undefined) closeSync(oldest[1].fd);
      if (oldest !== undefined) this.#files.delete(oldest[0]);
    }
    return file;
  }

  #codec(level: number): FrameCodec {
    let codec = this.#byLevel.get(level);
    if (codec === undefined) {
      codec = createCodec(level);
      this.#byLevel.set(level, codec);
    }
    return codec;
  }
}
