import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { MountPoints } from "./mount-points.js";

/** As many as Linux follows (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * The real path of a folder that somebody named; undefined when it lies on a network or virtual file system. It
 * is followed name by name, so that no such file system is touched on the way.
 * @throws what the file system says when it is not there, or not for this account
 */
export function reachFolder(folder: string, mounts: MountPoints): string | undefined {
  if (process.platform !== "linux") return realpathSync(folder); // nothing tells what is mounted
  if (mounts.isOffDisk("/")) return undefined;
  let reached = "/";
  let links = 0;
  for (let names = folder.split("/"); names.length > 0; ) {
    const [name = "", ...rest] = names;
    names = rest;
    if (name === "" || name === ".") continue;
    const next = name === ".." ? dirname(reached) : join(reached, name);
    if (mounts.isOffDisk(next)) return undefined;
    if (!lstatSync(next).isSymbolicLink()) {
      reached = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw Object.assign(new Error(`too many links: ${folder}`), { code: "ELOOP" });
    const target = readlinkSync(next);
    names = [...target.split("/"), ...names];
    if (isAbsolute(target)) reached = "/";
  }
  return reached;
}
