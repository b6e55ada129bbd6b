/** A piece that waits for its turn behind the control messages. */
export interface QueuedPiece {
  readonly row: number;
  readonly bytes: Uint8Array;
}

/** Pieces in the order they were given, with their bytes counted. */
export class UploadQueue {
  readonly #pieces: QueuedPiece[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  push(piece: QueuedPiece): void {
    this.#pieces.push(piece);
    this.#bytes += piece.bytes.byteLength;
  }

  shift(): QueuedPiece | undefined {
    const piece = this.#pieces.shift();
    this.#bytes -= piece?.bytes.byteLength ?? 0;
    return piece;
  }

  /** Takes a queued piece out; true if there was one. */
  remove(row: number, length: number): boolean {
    const at = this.#pieces.findIndex((p) => p.row === row && p.bytes.byteLength === length);
    if (at < 0) return false;
    this.#pieces.splice(at, 1);
    this.#bytes -= length;
    return true;
  }

  clear(): void {
    this.#pieces.length = 0;
    this.#bytes = 0;
  }
}
