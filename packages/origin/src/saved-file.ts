import { writeAtomic } from "@ckmesh/store";

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
        return writeAtomic(this.#path, this.#content());
      });
    return this.#saving;
  }
}
