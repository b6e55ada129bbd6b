import { type Clock, describeError, isAppError, type Logger } from "@ckmesh/core";
import { deltaPackFileName, packFileName } from "@ckmesh/image";

/** Why something in the folder is not published. */
export interface Refusal {
  readonly file: string;
  readonly code: string;
  readonly reason: string;
  /** Unix ms. */
  readonly since: number;
}

/** What can go right without a change of the files: rights are given, a share comes back. */
const TRANSIENT: ReadonlySet<string> = new Set([
  "ERR_FILE_DENIED",
  "ERR_FILE_NOT_FOUND",
  "ERR_INTERNAL",
  "ERR_STORE_FULL",
]);

export interface RefusalsOptions {
  readonly root: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Which pairs and files of the image folder are refused now, and why; each is logged once. */
export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #pairs = new Map<string, Refusal>();
  #unusable = new Map<string, Refusal>();

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  list(): readonly Refusal[] {
    return [...this.#pairs.values(), ...this.#unusable.values()];
  }

  /** @returns true when it may go right without a change of the files */
  add(
    key: string,
    { name, version, from }: { readonly name: string; readonly version: number; readonly from?: number },
    err: unknown,
  ): boolean {
    const { clock, logger, root } = this.#options;
    const code = isAppError(err) ? err.code : "ERR_INTERNAL";
    const reason = reasonWithoutFolder(err, root);
    this.#pairs.set(key, {
      file: from === undefined ? packFileName(name, version) : deltaPackFileName(name, version, from),
      code,
      reason,
      since: Math.round(clock.wall()),
    });
    if (from === undefined) logger.warn({ image: name, version, code, reason }, "image version refused");
    else logger.warn({ image: name, version, from, code, reason }, "delta refused");
    return TRANSIENT.has(code);
  }

  /** The pair is published, changed or gone. */
  delete(key: string): void {
    this.#pairs.delete(key);
  }

  /** @param unusable all files that no pair can be made of: the reason by file name */
  setUnusable(unusable: ReadonlyMap<string, string>): void {
    const { clock, logger } = this.#options;
    const before = this.#unusable;
    this.#unusable = new Map();
    for (const [file, reason] of unusable) {
      const known = before.get(file);
      const refusal = known ?? {
        file,
        code: "ERR_IMAGE_NAME_INVALID",
        reason,
        since: Math.round(clock.wall()),
      };
      this.#unusable.set(file, refusal);
      if (known === undefined) logger.warn({ file, reason }, "file in the image folder is not usable");
    }
  }
}

/** The status shows reasons to readers: where the folder lies is not for them. */
export function reasonWithoutFolder(err: unknown, root: string): string {
  return describeError(err)
    .replaceAll(root, "")
    .replaceAll(/'[/\\]+/g, "'");
}
