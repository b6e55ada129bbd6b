import { stat } from "node:fs/promises";

/** Whether a regular file is there and may be looked at. */
export async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false; // absent: it is made again
  }
}
