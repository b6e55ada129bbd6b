import type { RowFiles } from "@ckmesh/store";

/** What a swarm needs of the rows of its version, or of its delta, wherever they lie. */
export type SwarmFiles = Pick<
  RowFiles,
  "signed" | "table" | "have" | "frames" | "read" | "write" | "recheck"
>;
