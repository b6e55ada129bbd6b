import type { Identity } from "@ckmesh/auth";
import type { Clock, Logger, Metrics } from "@ckmesh/core";
import type { Access } from "../access.js";
import type { AuditLog } from "../audit-log.js";
import type { FoundFile } from "../catalogue.js";
import type { BitsConfig } from "../config/bits-schema.js";
import type { UploadIntake } from "../uploads/upload-intake.js";
import { createBitsEndpoint } from "./bits-endpoint.js";
import type { BitsHandler } from "./bits-request.js";
import { type BitsSettings, bitsSettings } from "./bits-settings.js";
import { prepareStaging } from "./staging-folder.js";
import { UploadAudit } from "./upload-audit.js";
import { UploadNotifier } from "./upload-notifier.js";
import { UploadSessions } from "./upload-sessions.js";

export interface BitsServerOptions {
  /** The image folder. */
  readonly root: string;
  readonly stagingPath: string;
  /** Of the virtual directory. */
  readonly directoryName: string;
  readonly access: Access;
  readonly intake: UploadIntake;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** The uploads of an origin. */
export interface BitsServer {
  readonly handler: BitsHandler;
  /** Ends an upload under way, as its owner's Cancel does; false when there is none. */
  drop(sessionId: string): Promise<boolean>;
  /** What a program answered to an upload, for the user who sent it. @param key of `fileKey` */
  findReply(key: string, user: Identity): Promise<FoundFile | undefined>;
  /**
   * Takes everything of a new configuration but `stagingPath`; packets under way go on by what counted when they came.
   * @throws {AppError} ERR_CONFIG_INVALID; everything then stays as it was
   */
  replace(bits: BitsConfig): Promise<void>;
  /** Waits for the packets under way; call it when their connections have ended. */
  close(): Promise<void>;
}

/** Goes on with the sessions that are on disk. @throws {AppError} ERR_CONFIG_INVALID */
export async function openBitsServer(bits: BitsConfig, options: BitsServerOptions): Promise<BitsServer> {
  const { root, stagingPath, directoryName, access, intake, clock, metrics } = options;
  const logger = options.logger.child({ component: "bits" });
  const audit = new UploadAudit(options.audit, clock);
  let current = await usable(bits, stagingPath, root);
  const settings = (): BitsSettings => current;
  const notifier = new UploadNotifier({ settings: () => current.notification, directoryName, logger });
  const sessions = await UploadSessions.open({
    stagingPath,
    settings,
    intake,
    notify: (session, request) => notifier.notify(session, request),
    audit,
    clock,
    logger,
    metrics,
  });
  return {
    handler: createBitsEndpoint({ access, settings, sessions, intake, audit, directoryName, logger }),
    drop: (sessionId) => sessions.drop(sessionId),
    findReply: (key, user) => sessions.findReply(key, user),
    replace: async (next) => {
      current = await usable(next, stagingPath, root);
      sessions.settingsChanged();
    },
    close: () => sessions.close(),
  };
}

/** Folders are looked at only where uploads are taken: elsewhere the account may have no right to write. */
async function usable(bits: BitsConfig, stagingPath: string, root: string): Promise<BitsSettings> {
  const settings = bitsSettings(bits);
  if (settings.isEnabled) await prepareStaging(stagingPath, root);
  return settings;
}
