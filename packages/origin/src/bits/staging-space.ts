import { statfs } from "node:fs/promises";
import { diskFull } from "@ckmesh/bits";

export interface StagingLimits {
  /** Absent: no limit. */
  readonly stagingQuota: number | undefined;
  readonly freeSpaceReserve: number;
}

/** What is asked before bytes are taken. */
export interface StagingRequest {
  /** Bytes of the whole file that are still to come; 0 where that is not known. */
  readonly missingBytes: number;
  /** Bytes that all uploads hold now. */
  readonly heldBytes: number;
  /** Bytes to come for which other uploads have the promise. */
  readonly promisedBytes: number;
}

/**
 * Whether there is room for uploads. Asked early, so that no client sends gigabytes that cannot be kept; a disk that
 * fills up all the same says so when it is written to.
 * @throws {BitsFault} 500 with ERROR_DISK_FULL: the session stays, and goes on when there is room
 */
export async function requireSpace(
  folder: string,
  { missingBytes, heldBytes, promisedBytes }: StagingRequest,
  { stagingQuota, freeSpaceReserve }: StagingLimits,
): Promise<void> {
  // At least one byte, so that nothing begins where nothing more fits.
  const wanted = Math.max(1, missingBytes);
  if (stagingQuota !== undefined && heldBytes + promisedBytes + wanted > stagingQuota) throw diskFull();
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < promisedBytes + wanted + freeSpaceReserve) throw diskFull();
}
