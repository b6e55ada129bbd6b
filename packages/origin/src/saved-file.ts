import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";

/** A file that is written anew whenever what it says has changed, changes at a time in one go. */
export class SavedFile {
  readonly #path: string;
  readonly #content: () => string;
  #saving: Promise<void> = Promise.resolve();
  #isQueued = false;

  constructor(path: string, content: () => string) {
    this.#path = path;
    this.#content = content;
  }

  /** Resolves when what is so now is on the disk. */
  save(): Promise<void> {
    if (this.#isQueued) return this.#saving;
    this.#isQueued = true;
    this.#saving = this.#saving
      .catch(() => {}) // Told to whoever asked for that save.
      .then(() => {
        this.#isQueued = false;
        return replaceFile(this.#path, this.#content());
      });
    return this.#saving;
  }
}

/** A crash at any instant leaves the old or the new content. */
export async function replaceFile(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (err) {
    await rm(temporary, { force: true });
    throw err;
  }
}
