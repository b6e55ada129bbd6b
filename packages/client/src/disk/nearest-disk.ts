import { join } from "node:path";
import { type DiskPaths, versionPaths } from "@ckmesh/store";

/** What the new disk of `version` may be a clone of: the disk of the newest older version, else of the oldest newer one. */
export function nearestDisk(
  folder: string,
  { name, version }: { readonly name: string; readonly version: number },
  versions: Iterable<{ readonly version: number; readonly disk: string | undefined }>,
): DiskPaths | undefined {
  let nearest: { readonly disk: string; readonly version: number } | undefined;
  for (const other of [...versions].toSorted((a, b) => a.version - b.version)) {
    if (other.disk === undefined || other.version === version) continue;
    if (other.version < version || nearest === undefined)
      nearest = { disk: other.disk, version: other.version };
  }
  if (nearest === undefined) return undefined;
  return {
    indexPath: versionPaths(folder, name, nearest.version).index,
    diskPath: join(folder, nearest.disk),
  };
}
