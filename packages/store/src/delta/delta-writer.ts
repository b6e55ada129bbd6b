import { createHash } from "node:crypto";
import { DeltaRefsWriter, type FrameTable, PACK_HEADER_BYTES } from "@ckmesh/image";
import type { TemporaryFile } from "../files/temporary-file.js";
import type { DeltaFrames } from "./delta-tasks.js";

/** The pack of a delta but for its header, and the sections of its index. */
export interface MadeFrames {
  readonly length: number;
  readonly sha256: Uint8Array;
  readonly count: number;
  readonly sectors: number;
  readonly records: Uint8Array;
  readonly refs: Uint8Array;
  /** Bytes of the frames of the target that it yields, as packed there. */
  readonly coveredBytes: number;
}

/** Appends what the threads made to the pack, and keeps the rest for the index. */
export class DeltaWriter {
  readonly #pack: TemporaryFile;
  readonly #target: FrameTable;
  readonly #hash = createHash("sha256");
  readonly #records: Uint8Array[] = [];
  readonly #refs = new DeltaRefsWriter();
  #position = PACK_HEADER_BYTES;
  #count = 0;
  #sectors = 0;
  #coveredBytes = 0;

  constructor(pack: TemporaryFile, target: FrameTable) {
    this.#pack = pack;
    this.#target = target;
  }

  async add({ packed, records, refs }: DeltaFrames): Promise<void> {
    for (let at = 0; at < refs.length; ) {
      const [frame = 0, count = 0] = refs.subarray(at, at + 2);
      at += 2;
      const runs = Array.from({ length: count }, (_, i) => ({
        first: refs[at + i * 2] ?? 0,
        count: refs[at + i * 2 + 1] ?? 0,
      }));
      at += count * 2;
      this.#refs.add(frame, runs);
      this.#count += 1;
      this.#sectors += this.#target.sectorCount(frame);
      this.#coveredBytes += this.#target.packedLength(frame);
    }
    this.#hash.update(packed);
    this.#records.push(records);
    await this.#pack.write(packed, this.#position);
    this.#position += packed.length;
  }

  finish(): MadeFrames {
    return {
      length: this.#position,
      sha256: this.#hash.digest(),
      count: this.#count,
      sectors: this.#sectors,
      records: Buffer.concat(this.#records),
      refs: this.#refs.finish(),
      coveredBytes: this.#coveredBytes,
    };
  }
}
