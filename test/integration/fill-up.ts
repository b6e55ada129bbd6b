import { closeSync, openSync, writeSync } from "node:fs";

/** Takes every free byte of a file system. */
export function fillUp(path: string): void {
  const file = openSync(path, "w");
  const part = Buffer.alloc(64 * 1024);
  try {
    for (;;) writeSync(file, part);
  } catch {
    closeSync(file); // full
  }
}
