import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Smallest that mkfs.btrfs makes without complaint. */
const SIZE = "256M";

/** A folder on a file system that clones files, and how it goes away. */
export interface CloneFolder {
  readonly dir: string;
  close(): void;
}

/**
 * A btrfs in a file, mounted for a test. Needs root, loop devices and `mkfs.btrfs`; where one is missing, standard
 * error says which test is skipped.
 * @param what the test, as in "skipped: …"
 */
export function openCloneFolder(what: string): CloneFolder | undefined {
  const root = mkdtempSync(join(tmpdir(), "ckmesh-clone-"));
  const [file, dir] = [`${root}.img`, root];
  try {
    execFileSync("truncate", ["-s", SIZE, file]);
    run("mkfs.btrfs", ["-q", file]);
    run("mount", ["-o", "loop", file, dir]);
  } catch (err) {
    rmSync(file, { force: true });
    rmdirSync(root);
    const reason = err instanceof Error ? err.message : String(err);
    process.stderr.write(`skipped: ${what}; no btrfs can be mounted here (${reason.split("\n")[0]})\n`);
    return undefined;
  }
  return {
    dir,
    close: () => {
      run("umount", ["-l", dir]); // lazily: what a test that failed left open must not keep it
      rmdirSync(root);
      rmSync(file, { force: true });
    },
  };
}

function run(tool: string, args: readonly string[]): void {
  execFileSync(tool, args, { stdio: ["ignore", "ignore", "pipe"] });
}
