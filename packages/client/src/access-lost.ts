import type { ErrorCode } from "@ckmesh/core";

/**
 * Whether an answer of the origin says that this machine may not read an image, as against that nobody can tell now.
 *
 * Access in the LAN is access at the origin (DESIGN section 10), so such an image leaves its swarms at once: it is not
 * announced, not fetched from peers, not served to them. 403 means a right that is not there, 401 an account that is
 * closed, locked or has another password: taking an account away is how access is taken away. A 404 is not among them:
 * a folder that is away for a moment would break up every site, and an origin of ours tells a missing right with 403.
 * Nor are failures of the network: without its origin a site goes on (DESIGN section 10, independence).
 */
export function isAccessLost(code: ErrorCode): boolean {
  return code === "ERR_AUTH_REQUIRED" || code === "ERR_AUTH_FORBIDDEN";
}

/** Whether an error of a range makes the head worth a look at once: the files are others, or may not be read. */
export function callsForCheck(code: ErrorCode): boolean {
  return code === "ERR_ORIGIN_CHANGED" || code === "ERR_IMAGE_NOT_FOUND" || isAccessLost(code);
}
