import type { VersionDriverOptions } from "./version-driver-options.js";

/** Why a version is not shared with peers; undefined: it is. @param isBarred the origin does not let this machine read it */
export function whyNoSwarm(
  { context, record }: Pick<VersionDriverOptions, "context" | "record">,
  isBarred: boolean,
): string | undefined {
  if (isBarred) return "the origin does not let this machine read the image";
  if (record.isPrivate || context.peers.allowOpenSwarm) return undefined;
  return "its head has not come over https: use https, or allowOpenSwarm";
}
