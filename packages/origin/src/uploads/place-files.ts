import { chmod, link, lstat, open, rename, rm } from "node:fs/promises";
import { AppError } from "@ckmesh/core";
import { fileErrorCode, syncFolder } from "@ckmesh/store";

export interface Placement {
  readonly from: string;
  readonly to: string;
}

type AddName = (from: string, to: string) => Promise<void>;

/** As `ckmesh pack` makes them: the folder says who may read. */
const MODE = 0o644;
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EMLINK",
]);

/** True for what file systems say that know no second name of a file. */
export function isWithoutLinks(err: unknown): boolean {
  return NO_LINKS.has(fileErrorCode(err));
}

/** Gives files their names in a folder, whatever bears them now: readers see the old file or the new one, whole. */
export async function replaceFiles(folder: string, placements: readonly Placement[]): Promise<void> {
  for (const { from, to } of placements) {
    await chmod(from, MODE); // oxlint-disable-line no-await-in-loop -- the order matters
    await rename(from, to); // oxlint-disable-line no-await-in-loop
  }
  await syncFolder(folder);
}

/**
 * Gives files their names in a folder, all or none, and never in the place of another file. They keep their old names
 * too where the file system can do that, so that a crash in the middle is repaired by doing it again.
 * @param addName Node's `link`, but in a test
 * @throws {AppError} ERR_IMAGE_EXISTS
 */
export async function placeFiles(
  folder: string,
  placements: readonly Placement[],
  addName: AddName = link,
): Promise<void> {
  const done: Placement[] = [];
  try {
    for (const placement of placements) {
      if (await place(placement, addName)) done.push(placement); // oxlint-disable-line no-await-in-loop -- the order matters
    }
  } catch (err) {
    for (const { from, to } of done) await takeBack(from, to); // oxlint-disable-line no-await-in-loop
    throw err;
  }
  await syncFolder(folder);
}

/** False when the file was there already. */
async function place({ from, to }: Placement, addName: AddName): Promise<boolean> {
  await chmod(from, MODE);
  try {
    await addName(from, to);
    return true;
  } catch (err) {
    const code = fileErrorCode(err);
    if (code === "EEXIST" && (await isSameFile(from, to))) return false;
    if (code === "EEXIST") throw exists(to);
    if (!isWithoutLinks(err)) throw err;
  }
  await moveExclusively(from, to);
  return true;
}

/** An empty file takes the name first, then makes room for the real one. */
async function moveExclusively(from: string, to: string): Promise<void> {
  try {
    await (await open(to, "wx", MODE)).close();
  } catch (err) {
    throw fileErrorCode(err) === "EEXIST" ? exists(to) : err;
  }
  try {
    await rename(from, to);
  } catch (err) {
    await rm(to, { force: true });
    throw err;
  }
}

async function takeBack(from: string, to: string): Promise<void> {
  if (await isSameFile(from, to)) await rm(to, { force: true });
  else await rename(to, from);
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  try {
    const [one, other] = await Promise.all([lstat(a), lstat(b)]);
    return one.ino === other.ino && one.dev === other.dev;
  } catch {
    return false; // One of them is gone.
  }
}

function exists(path: string): AppError {
  return new AppError(
    "ERR_IMAGE_EXISTS",
    `the image folder has a file ${path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1)} already; a version never changes: publish this one with the next number`,
  );
}
