import { AppError, formatBytes } from "@ckmesh/core";
import { decodeHead, RowLayout } from "@ckmesh/image";
import { type StoredVersion, storedSourceBytes, type VersionRecord, type versionPaths } from "@ckmesh/store";
import { isFile } from "../is-file.js";
import { missingBytes } from "../version/needed-bytes.js";

/**
 * A version has come so far that it is used here, though its pack may not be whole: given up for its disk, or in part
 * decoded.
 */
export function hasArrived(record: VersionRecord | undefined): boolean {
  switch (record?.state) {
    case "verified":
    case "staged":
    case "active":
    case "superseded":
      return true;
    case "available":
    case "proposed":
    case "fetching":
    case undefined:
      return false;
  }
}

/** Why there is no whole pack of a version, and what to do. */
export async function notWhole(
  stored: StoredVersion,
  record: VersionRecord | undefined,
  paths: ReturnType<typeof versionPaths>,
): Promise<AppError> {
  const { head } = decodeHead(stored.headBlock);
  const name = `version ${stored.version} of ${head.name}`;
  const code = "ERR_IMAGE_NOT_FOUND";
  if (record?.shed !== undefined) {
    return new AppError(
      code,
      `${name} has no pack here: it was given up for the disk (seedPacks: false); take it from the origin or another client`,
    );
  }
  const held = await storedSourceBytes(paths, head);
  const { rows } = new RowLayout(head);
  const bytes = held.bytes === undefined ? "" : ` (${formatBytes(missingBytes(head, held.bytes))})`;
  const missing = `${rows - held.rows} of ${rows} rows are missing${bytes}`;
  const details = { rows, haveRows: held.rows };
  if (await isFile(paths.decoded)) {
    return new AppError(
      code,
      `the pack of ${name} is not whole: ${missing}, frames that this machine has decoded only, as its codec is not the publisher's; peers of the site bring them while a client runs, else take the version from the origin or another client`,
      { details },
    );
  }
  return new AppError(code, `${name} is not complete here: ${missing}; "ckmesh client run" fetches them`, {
    details,
  });
}
