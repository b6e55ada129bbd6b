/** Random access to bytes: a file, or memory in tests. */
export interface ByteSource {
  /** Bytes in all. */
  readonly length: number;
  /** Exactly `length` bytes, which the caller may keep. The range lies within the source. */
  read(offset: number, length: number): Promise<Uint8Array>;
}
