import { randomUUID } from "node:crypto";
import { access, constants, mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isAppError, type Logger } from "@ckmesh/core";
import { parseServedName } from "@ckmesh/image";
import { placeFiles } from "../uploads/place-files.js";

/** The two files of a delta that is complete, where they were made. */
export interface MadeDelta {
  readonly name: string;
  readonly version: number;
  readonly from: number;
  readonly packPath: string;
}

/**
 * Where deltas are made, each in a folder of its own: on the file system of the images, so that they get their names
 * there in one step each, and where nothing is served from.
 */
export class MakingFolder {
  readonly #path: string;
  readonly #root: string;

  private constructor(path: string, root: string) {
    this.#path = path;
    this.#root = root;
  }

  /**
   * Prefers the state folder; where that is on another file system, a hidden one among the images.
   * @throws {Error} of the file system when this account may not write there
   */
  static async open(stateDir: string, root: string): Promise<MakingFolder> {
    await access(root, constants.W_OK);
    const isBeside = (await stat(stateDir)).dev === (await stat(root)).dev;
    const path = isBeside ? join(stateDir, "deltas") : join(root, ".ckmesh-deltas");
    await mkdir(path, { recursive: true, mode: 0o700 });
    return new MakingFolder(path, root);
  }

  /** A new folder for one delta. */
  async begin(): Promise<string> {
    const path = join(this.#path, randomUUID());
    await mkdir(path);
    return path;
  }

  /** Removes what was made in a folder of `begin`. */
  async end(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true });
  }

  /**
   * Gives a delta its names among the images, the pack first. A crash in between is mended by `resume`.
   * @throws {AppError} ERR_IMAGE_EXISTS when there are such files already
   */
  async place({ packPath }: MadeDelta): Promise<void> {
    const packName = packPath.slice(Math.max(packPath.lastIndexOf("/"), packPath.lastIndexOf("\\")) + 1);
    await placeFiles(this.#root, [
      { from: packPath, to: join(this.#root, packName) },
      { from: `${packPath}.index`, to: join(this.#root, `${packName}.index`) },
    ]);
  }

  /** Places what was complete when the origin was killed, and removes everything else. */
  async resume(logger: Logger): Promise<readonly MadeDelta[]> {
    const placed: MadeDelta[] = [];
    for (const folder of await readdir(this.#path)) {
      const path = join(this.#path, folder);
      const made = await completeDelta(path); // oxlint-disable-line no-await-in-loop -- there is one at most, as a rule
      if (made !== undefined) {
        try {
          await this.place(made); // oxlint-disable-line no-await-in-loop
          placed.push(made);
        } catch (err) {
          // Somebody else has made it meanwhile.
          if (!isAppError(err, "ERR_IMAGE_EXISTS"))
            logger.warn({ err }, "a delta that was made cannot be placed");
        }
      }
      await this.end(path); // oxlint-disable-line no-await-in-loop
    }
    return placed;
  }
}

async function completeDelta(folder: string): Promise<MadeDelta | undefined> {
  const files = await readdir(folder);
  const packName = files.find((file) => files.includes(`${file}.index`));
  const served = packName === undefined ? undefined : parseServedName(packName);
  if (packName === undefined || served?.version === undefined || served.from === undefined) return undefined;
  const { name, version, from } = served;
  return { name, version, from, packPath: join(folder, packName) };
}
