import type { ProgressReport } from "@ckmesh/wire";
import { isAccessLost } from "../access-lost.js";
import type { ImageStatus } from "../status.js";

/** What the tracker is told of this client: the newest version of each image that this machine may read. */
export function progressReports(images: readonly ImageStatus[]): readonly ProgressReport[] {
  return images.flatMap(({ name, lastError, versions: [newest] }) => {
    // What this machine may not read is not named to the tracker.
    const isBarred = lastError !== undefined && isAccessLost(lastError.code);
    if (newest === undefined || isBarred) return [];
    const { version, state, haveRows, rows } = newest;
    const { previous, delta, host, peers, origin } = newest.bytes;
    const { rejected, duplicate, retried } = newest.wasted;
    const bytes = { previous, delta, host, peers, origin, wasted: rejected + duplicate + retried };
    return [{ image: name, version, state, have: haveRows, rows, bytes }];
  });
}
