import { NO_WASTE, type WastedBytes } from "@ckmesh/store";

/** Counts bytes that arrived and were of no use (DESIGN.md section 9). */
export class Waste {
  #bytes: WastedBytes;

  constructor(start: WastedBytes = NO_WASTE) {
    this.#bytes = start;
  }

  get bytes(): WastedBytes {
    return this.#bytes;
  }

  /** `rejected` had a wrong hash, `duplicate` was held already, `retried` did not make a whole row. */
  add(kind: "rejected" | "duplicate" | "retried", bytes: number, from: "peers" | "origin"): void {
    if (bytes === 0) return;
    this.#bytes = {
      ...this.#bytes,
      [kind]: this.#bytes[kind] + bytes,
      origin: this.#bytes.origin + (from === "origin" ? bytes : 0),
    };
  }
}
