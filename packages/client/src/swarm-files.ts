import type { VersionFiles } from "@ckmesh/store";

/** What a swarm needs of the rows of its version, wherever they lie. */
export type SwarmFiles = Pick<
  VersionFiles,
  "signed" | "table" | "have" | "frames" | "read" | "write" | "recheck"
>;
