import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A file system of that size (`2m`) at `path`, until the test ends. */
export async function smallDisk(path: string, size: string): Promise<string> {
  await mkdir(path);
  run("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
  onTestFinished(() => {
    run("umount", [path]);
  });
  return path;
}

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { stdio: "ignore" });
}

export function canMountSmallDisk(): boolean {
  const probe = join(tmpdir(), `ckmesh-mount-${process.pid}`);
  try {
    run("mkdir", [probe]);
    run("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe]);
    run("umount", [probe]);
    return true;
  } catch {
    process.stderr.write("skipped: a full disk cannot be made here, mounting a tmpfs needs root\n");
    return false;
  } finally {
    run("rm", ["-rf", probe]);
  }
}
