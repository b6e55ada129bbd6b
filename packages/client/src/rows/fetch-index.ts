import { type AppError, type Clock, type Logger, MIB } from "@ckmesh/core";
import type { VersionFiles } from "@ckmesh/store";
import type { Waste } from "../version/waste.js";
import { fetchRows } from "./fetch-rows.js";
import type { OriginRows } from "./origin-rows.js";
import { RateMeter } from "./rate-meter.js";

/** Bytes of one request. */
const REQUEST_BYTES = MIB;

export interface FetchIndexOptions {
  readonly files: VersionFiles;
  readonly rows: Pick<OriginRows, "fetch">;
  readonly waste: Waste;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Every piece of its index is held: its frames are known, and so is which of them are here. */
export function isIndexWhole({ have, table }: Pick<VersionFiles, "have" | "table">): boolean {
  return have.hasAll(0, table.layout.pieceRows);
}

/**
 * Fetches the pieces of an index that are missing, without a swarm: of a version that is here they are few.
 * @returns why some are still missing
 */
export async function fetchIndex(options: FetchIndexOptions): Promise<AppError | undefined> {
  const { files, clock } = options;
  const { table, have } = files;
  const { layout } = table;
  const meter = new RateMeter(clock);
  // The hashes tell what the other pieces have to be.
  for (const section of [layout.section("hashes"), { first: 0, count: layout.pieceRows }]) {
    if (section === undefined) continue;
    for (const missing of have.runs(false, section.first, section.count))
      for (const run of table.chunks(missing, REQUEST_BYTES)) {
        const { error } = await fetchRows({ ...options, meter, run, span: 0, onStored: () => {} });
        if (error !== undefined) return error;
      }
  }
  return undefined;
}
