import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { describeError, type Logger } from "@ckmesh/core";
import type { UploadEntry } from "../bits/upload-audit.js";
import type { ControlAuditEntry } from "../control/control-audit.js";
import type { LogonEntry } from "../logon/logon-audit.js";

/** A change of what is published. */
interface PublishEntry {
  readonly action: "publish" | "unpublish";
  readonly image: string;
  readonly version: number;
  /** Version id, hexadecimal. */
  readonly id: string;
  /** How it came. */
  readonly by: "folder" | "upload";
  /** Who uploaded it. */
  readonly user?: string;
}

/** A version that somebody deleted. */
interface DeleteEntry {
  readonly action: "delete";
  readonly image: string;
  readonly version: number;
  readonly id: string;
  readonly by: "api";
  readonly user: string;
  readonly address: string;
  /** Clients followed it. */
  readonly isForced: boolean;
}

/** A delta that is served from now on, or no longer. */
interface DeltaEntry {
  readonly action: "serve-delta" | "unserve-delta";
  readonly image: string;
  readonly version: number;
  readonly from: number;
  /** Id of the delta, hexadecimal. */
  readonly id: string;
}

/** An uploaded file that was not published. */
interface UploadEndEntry {
  readonly action: "upload-refused" | "upload-removed";
  /** As the URL names it. */
  readonly file: string;
  readonly session: string;
  /** Who uploaded it. */
  readonly user: string;
  readonly code?: string;
  readonly reason?: string;
  /** Who removed it, and from where. */
  readonly remover?: string;
  readonly address?: string;
}

export type AuditEntry =
  | PublishEntry
  | DeleteEntry
  | DeltaEntry
  | ControlAuditEntry
  | UploadEntry
  | UploadEndEntry
  | LogonEntry;

/** One JSON line per change of what is published, per upload and per logon, in `audit.ndjson` of the state folder. */
export class AuditLog {
  readonly #path: string;
  readonly #logger: Logger;
  #writing: Promise<void> = Promise.resolve();

  constructor(stateDir: string, logger: Logger) {
    this.#path = join(stateDir, "audit.ndjson");
    this.#logger = logger;
  }

  /** @param wall Unix ms */
  write(entry: AuditEntry, wall: number): void {
    const line = `${JSON.stringify({ time: new Date(wall).toISOString(), ...entry })}\n`;
    this.#writing = this.#writing
      .then(() => appendFile(this.#path, line, { mode: 0o600 }))
      .catch((err: unknown) => {
        this.#logger.error({ err, reason: describeError(err), ...entry }, "cannot write the audit log");
      });
  }

  async close(): Promise<void> {
    await this.#writing;
  }
}
