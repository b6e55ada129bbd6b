import { join } from "node:path";
import { fileErrorCode } from "../files/store-error.js";
import type { MountPoints } from "./mount-points.js";
import { reachFolder } from "./reach-folder.js";

/** A folder that was to be looked through, and was not. */
export interface UnreadFolder {
  readonly folder: string;
  /** For people. */
  readonly reason: string;
}

/**
 * The folders of one look: which could be looked through, and which not, for the time being perhaps: a disk that is
 * not plugged in, a file system that is mounted late. What is known of the files of those is kept.
 */
export class HostRoots {
  /** Real paths. */
  readonly #read: string[] = [];
  readonly #unread: UnreadFolder[] = [];

  get unread(): readonly UnreadFolder[] {
    return this.#unread;
  }

  /** Where the folders really lie, none twice; none within another, by whatever links it is named. */
  reach(folders: readonly string[], mounts: MountPoints): readonly string[] {
    const reached: string[] = [];
    for (const folder of folders) {
      try {
        const real = reachFolder(folder, mounts);
        if (real === undefined) this.notRead(folder, "it lies on a network or virtual file system");
        else reached.push(real);
      } catch (err) {
        this.refused(folder, err);
      }
    }
    const unique = [...new Set(reached)];
    return unique.filter((folder) => !unique.some((other) => isBelow(folder, other)));
  }

  read(folder: string): void {
    this.#read.push(folder);
  }

  notRead(folder: string, reason: string): void {
    this.#unread.push({ folder, reason });
  }

  /** @throws `err` when it is none of the file system */
  refused(folder: string, err: unknown): void {
    const code = fileErrorCode(err);
    if (code === undefined) throw err;
    this.notRead(folder, code);
  }

  /**
   * A file that is not seen below any folder is gone. While a folder is unread only what lies below those that were
   * read: where the other really lies may not be known.
   */
  covers(path: string): boolean {
    return this.#unread.length === 0 || this.#read.some((folder) => isBelow(path, folder));
  }
}

function isBelow(path: string, folder: string): boolean {
  return path !== folder && path.startsWith(join(folder, "/"));
}
