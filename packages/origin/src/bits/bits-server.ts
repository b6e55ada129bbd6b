import type { Identity } from "@ckmesh/auth";
import type { Clock, Logger, Metrics } from "@ckmesh/core";
import type { Access } from "../access/access.js";
import type { Actor } from "../api/image-remover.js";
import type { FoundFile } from "../catalogue/catalogue.js";
import type { BitsConfig } from "../config/bits-schema.js";
import type { AuditLog } from "../logs/audit-log.js";
import type { UploadIntake } from "../uploads/upload-intake.js";
import { createBitsEndpoint } from "./bits-endpoint.js";
import type { BitsHandler } from "./bits-request.js";
import { bitsSettings } from "./bits-settings.js";
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
  drop(sessionId: string, actor: Actor): Promise<boolean>;
  /** What a program answered to an upload, for the user who sent it. @param key of `fileKey` */
  findReply(key: string, user: Identity): Promise<FoundFile | undefined>;
  /**
   * Checks a new configuration.
   * @returns takes everything of it but `stagingPath`; what is under way goes on by what counted when it came
   * @throws {AppError} ERR_CONFIG_INVALID
   */
  prepare(bits: BitsConfig): Promise<() => void>;
  /** Waits for the packets under way, `limitMs` at the most: a session can be left at any instant. */
  close(limitMs: number): Promise<void>;
}

/** Goes on with the sessions that are on disk; where uploads are on, the staging folder was prepared. */
export async function openBitsServer(bits: BitsConfig, options: BitsServerOptions): Promise<BitsServer> {
  const { root, stagingPath, directoryName, access, intake, clock, metrics } = options;
  const logger = options.logger.child({ component: "bits" });
  const audit = new UploadAudit(options.audit, clock);
  let current = bitsSettings(bits);
  const notifier = new UploadNotifier({ settings: () => current.notification, directoryName, logger });
  const sessions = await UploadSessions.open({
    stagingPath,
    settings: () => current,
    intake,
    notify: (session, request) => notifier.notify(session, request),
    audit,
    clock,
    logger,
    metrics,
  });
  return {
    handler: createBitsEndpoint({
      access,
      settings: () => current,
      sessions,
      intake,
      audit,
      directoryName,
      logger,
    }),
    drop: (sessionId, actor) => sessions.drop(sessionId, actor),
    findReply: (key, user) => sessions.findReply(key, user),
    prepare: async (next) => {
      const settings = bitsSettings(next);
      if (settings.isEnabled && !current.isEnabled) await prepareStaging(stagingPath, root, logger);
      return () => {
        current = settings;
        sessions.settingsChanged();
      };
    },
    close: (limitMs) => sessions.stop(limitMs),
  };
}
