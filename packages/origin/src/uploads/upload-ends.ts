import { type Clock, describeError, type Logger } from "@ckmesh/core";
import type { FileStamp } from "../catalogue/catalogue.js";
import type { AuditLog } from "../logs/audit-log.js";
import { stampOf } from "../publish/opaque-pack.js";
import { type Upload, wait } from "./upload.js";
import type { UploadFolder } from "./upload-folder.js";
import type { UploadEnd } from "./upload-record.js";
import { refusalOf } from "./upload-refusal.js";

export interface UploadEndsOptions {
  readonly root: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Pick<AuditLog, "write">;
  /** A staged file goes away. */
  readonly onGone: (file: FileStamp) => void;
}

/** Until a failure that was not the file's is tried again: at first, and at most. */
const RETRY_MS = 10_000;
const MAX_RETRY_MS = 600_000;

/** Writes down how uploads end, or that they are to be tried again. */
export class UploadEnds {
  readonly #options: UploadEndsOptions;
  readonly #folder: UploadFolder;

  constructor(options: UploadEndsOptions, folder: UploadFolder) {
    this.#options = options;
    this.#folder = folder;
  }

  published({ name, version }: { readonly name: string; readonly version: number }): UploadEnd {
    return { state: "published", image: name, version, at: Math.round(this.#options.clock.wall()) };
  }

  refused(err: unknown): UploadEnd {
    return { state: "refused", ...this.#refusalOf(err), at: Math.round(this.#options.clock.wall()) };
  }

  /** Ends an upload; its file is gone then. Never rejects. */
  async end(upload: Upload, end: UploadEnd): Promise<void> {
    const { id, user, target, total = 0, closedAt = 0 } = upload;
    const { logger, audit } = this.#options;
    upload.end = end;
    upload.state = end.state;
    letGo(upload);
    if (end.state === "refused") {
      const { code, reason } = end;
      logger.warn({ upload: id, file: target.fileName, user: user.name, code, reason }, "upload refused");
      const entry = { file: target.fileName, session: id, user: user.name, code, reason };
      audit.write({ action: "upload-refused", ...entry }, end.at);
    }
    try {
      await this.#evict(upload);
      await this.#folder.save({ id, user, target, total, closedAt, end });
      await this.#folder.removeData(id);
    } catch (err) {
      // What is published is so all the same; a restart looks at the file again.
      logger.error({ err, upload: id, reason: describeError(err) }, "cannot save the end of an upload");
    }
  }

  /** The upload waits until it is tried again. */
  retryLater(upload: Upload, err: unknown, isStopping: boolean): void {
    letGo(upload);
    wait(upload);
    upload.trouble = this.#refusalOf(err).reason;
    upload.retryAt = this.#options.clock.wall() + Math.min(RETRY_MS * 2 ** upload.failures, MAX_RETRY_MS);
    upload.failures += 1;
    if (isStopping) return;
    const { id, target, user } = upload;
    this.#options.logger.error(
      { err, upload: id, file: target.fileName, user: user.name },
      "upload cannot be published, trying again",
    );
  }

  /** Deletes what is left of an upload. */
  async forget(upload: Upload): Promise<void> {
    await this.#evict(upload);
    await this.#folder.forget(upload.id);
  }

  #refusalOf(err: unknown): ReturnType<typeof refusalOf> {
    return refusalOf(err, [this.#folder.path, this.#options.root]);
  }

  async #evict(upload: Upload): Promise<void> {
    const stamp = await stampOf(upload.path).catch(() => undefined); // Gone: nothing of it is served.
    if (stamp !== undefined) this.#options.onGone(stamp);
  }
}

function letGo(upload: Upload): void {
  upload.follower?.close();
  upload.follower = undefined;
}
