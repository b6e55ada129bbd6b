/** How the bytes of a row came (DESIGN.md section 9); the position + 1 is what the sources file holds. */
export const ROW_SOURCES = ["previous", "delta", "host", "peers", "origin"] as const;
export type RowSource = (typeof ROW_SOURCES)[number];
export type SourceBytes = Readonly<Record<RowSource, number>>;

export const NO_SOURCE_BYTES: SourceBytes = { previous: 0, delta: 0, host: 0, peers: 0, origin: 0 };

/** 1 to 5; 0 stands for a row that is not held, or whose note was lost. */
export function sourceCode(source: RowSource): number {
  return ROW_SOURCES.indexOf(source) + 1;
}
