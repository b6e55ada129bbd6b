import { readdir, truncate } from "node:fs/promises";
import { sessionKey } from "@ckmesh/bits";
import type { Logger } from "@ckmesh/core";
import { fileErrorCode } from "@ckmesh/store";
import type { UploadIntake } from "../uploads/upload-intake.js";
import { SessionFolder } from "./session-folder.js";
import type { SessionRecord } from "./session-record.js";

/** A session as it lies on disk. */
export interface StoredSession {
  readonly id: string;
  readonly folder: SessionFolder;
  readonly record: SessionRecord;
  /** Bytes that came, and when the last of them did, in Unix ms. */
  readonly data: { readonly size: number; readonly changedAt: number };
}

interface Surroundings {
  readonly intake: Pick<UploadIntake, "wasClosed">;
  readonly logger: Logger;
}

/** The sessions that were under way when the origin ended, however it did; what is left of others is deleted. */
export async function loadSessions(staging: string, parts: Surroundings): Promise<readonly StoredSession[]> {
  const found: StoredSession[] = [];
  for (const name of await namesIn(staging)) {
    if (sessionKey(name) !== name) {
      parts.logger.warn({ file: name }, "something else lies among the upload sessions");
      continue;
    }
    const session = await loadSession(name, new SessionFolder(staging, name), parts);
    if (session !== undefined) found.push(session);
  }
  return found;
}

/** None where uploads were never on. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return [];
    throw err;
  }
}

async function loadSession(
  id: string,
  folder: SessionFolder,
  { intake, logger }: Surroundings,
): Promise<StoredSession | undefined> {
  let record: SessionRecord | undefined;
  try {
    record = await folder.read();
  } catch (err) {
    logger.error({ err, session: id }, "the record of an upload session cannot be read");
    // A damaged one is as good as none; one that the disk does not give may come back.
    if (fileErrorCode(err) !== undefined) return undefined;
  }
  const data = await folder.dataFacts();
  if (record !== undefined && data !== undefined) {
    const size = Math.min(data.size, record.total ?? data.size);
    if (size < data.size) await truncate(folder.dataPath, size);
    logger.info({ session: id, file: record.target.fileName, received: size }, "upload session found");
    return { id, folder, record, data: { ...data, size } };
  }
  if (record !== undefined && !isClosed(intake, id, record)) {
    logger.warn({ session: id, file: record.target.fileName }, "the bytes of an upload session are gone");
  }
  // Never told of, cut short while it was deleted, or handed over just before the end.
  await folder.remove();
  return undefined;
}

/** A refusal is an end, too. */
function isClosed(intake: Surroundings["intake"], id: string, { user }: SessionRecord): boolean {
  try {
    return intake.wasClosed(id, user);
  } catch {
    return true; // It was refused: the intake has told its user.
  }
}
