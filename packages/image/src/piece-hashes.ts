import { AppError, equalBytes, sha256 } from "@ckmesh/core";
import { HASH_BYTES } from "./constants.js";
import type { HeadCommon } from "./index-head.js";
import { RowLayout } from "./row-layout.js";

/** The SHA-256 of each piece row, from the `hashes` section. */
export class PieceHashes {
  readonly #section: Uint8Array;
  readonly #own: Uint8Array;
  /** The row of the `hashes` section itself, which is one piece at most; its hash is in the head. */
  readonly #ownRow: number;

  /** @throws {AppError} ERR_INDEX_INVALID when the section is not the one of the head */
  constructor(hashesSection: Uint8Array, head: Pick<HeadCommon, "sections" | "counts" | "hashesSha256">) {
    const rows = new RowLayout(head);
    const own = rows.section("hashes") ?? { first: 0, count: 0 };
    if (
      hashesSection.length !== (rows.pieceRows - own.count) * HASH_BYTES ||
      !equalBytes(sha256(hashesSection), head.hashesSha256)
    ) {
      throw new AppError("ERR_INDEX_INVALID", "section hashes does not match the head of the index");
    }
    this.#section = hashesSection;
    this.#own = head.hashesSha256;
    this.#ownRow = own.count === 0 ? -1 : own.first;
  }

  /** The 32 bytes that a piece row must hash to. */
  hash(row: number): Uint8Array {
    if (row === this.#ownRow) return this.#own;
    const at = (row - this.#ownRow - 1) * HASH_BYTES;
    return this.#section.subarray(at, at + HASH_BYTES);
  }

  /** True if `bytes` are the piece of that row. */
  matches(row: number, bytes: Uint8Array): boolean {
    return equalBytes(sha256(bytes), this.hash(row));
  }
}
