import { AppError, isAppError } from "@ckmesh/core";
import { indexFileName, PACK_HEADER_BYTES, packFileName } from "@ckmesh/image";
import { AdminApi, type ListedImage } from "./admin-api.js";
import { awaitPublication } from "./await-publication.js";
import type { VersionToUpload } from "./open-version.js";
import { type FileUpload, type UploadWorld, uploadFile } from "./upload-file.js";
import { findUpload, listUploads, refusedUpload, type UploadOutcome } from "./upload-outcomes.js";
import type { UploadResumeFile } from "./upload-resume-file.js";
import type { UploadSource } from "./upload-source.js";

/** How far the upload of a version is; bytes of all its files. */
export interface UploadProgress {
  readonly phase: "uploading" | "publishing";
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Sent by this call; less than done where the server had bytes, more where some were sent twice. */
  readonly bytesSent: number;
}

export interface VersionUpload {
  readonly version: VersionToUpload;
  /** Absent: an upload that breaks off begins anew. */
  readonly resume?: UploadResumeFile;
  onProgress(progress: UploadProgress): void;
  /** The server does not answer, or is busy: another try after `ms`. */
  onRetry(reason: AppError, ms: number): void;
  /** The origin has everything and waits for something. */
  onWaiting(reason: string): void;
  /** The resume file cannot be written; told once. */
  onUnresumable(reason: unknown): void;
}

export interface VersionUploaded {
  readonly bytesTotal: number;
  readonly bytesSent: number;
  /** Bytes that an earlier upload had sent, or that the server found by itself. */
  readonly bytesSpared: number;
  /** Set by an origin of ours, which publishes; another server just has the files. */
  readonly publishedVersion?: number;
}

/** One file on its way to one name. */
interface Part {
  readonly fileName: string;
  readonly source: UploadSource;
  readonly firstBytes?: number;
}

/**
 * Uploads a version and waits until it is published. An origin of ours gets the index first, so that it can check the
 * pack while that arrives and copy what it has; any other BITS server the pack, the index, and last the index as the
 * alias, which clients look for.
 * @throws {AppError} as `uploadFile`, `awaitPublication` and `listUploads`
 */
export async function uploadVersion(upload: VersionUpload, world: UploadWorld): Promise<VersionUploaded> {
  const known = await listUploads(world.calls, world.signal);
  return await new VersionUploader(upload, world).run(known);
}

class VersionUploader {
  readonly #upload: VersionUpload;
  readonly #world: UploadWorld;
  #bytesTotal = 0;
  /** Of the files before the present one. */
  #bytesBefore = 0;
  #bytesSent = 0;
  #isResumable = true;
  /** The newest. */
  #sessionId: string | undefined;

  constructor(upload: VersionUpload, world: UploadWorld) {
    this.#upload = upload;
    this.#world = world;
  }

  async run(known: readonly UploadOutcome[] | undefined): Promise<VersionUploaded> {
    const { name, version, index, pack } = this.#upload.version;
    const indexPart: Part = { fileName: indexFileName(name, version), source: index };
    const packPart: Part = { fileName: packFileName(name, version), source: pack };
    const uploaded =
      known === undefined
        ? await this.#toServer([packPart, indexPart], { fileName: `${name}.ckm.index`, source: index })
        : await this.#toOrigin(indexPart, { ...packPart, firstBytes: PACK_HEADER_BYTES }, known);
    await this.#upload.resume?.remove();
    return uploaded;
  }

  async #toOrigin(index: Part, pack: Part, known: readonly UploadOutcome[]): Promise<VersionUploaded> {
    this.#bytesTotal = index.source.size + pack.source.size;
    /** Closed by an earlier call, and not refused since. */
    const isThere = (sessionId: string): boolean => {
      const state = findUpload(known, sessionId)?.state;
      return state === "waiting" || state === "checking" || state === "published";
    };
    const { name, version, idHex } = this.#upload.version;
    const before = await this.#imageThere(name);
    const there = before?.versions.find((each) => each.version === version);
    if (there?.id.toLowerCase() === idHex) return { ...this.#sums(), publishedVersion: version };
    let id: string;
    try {
      await this.#send(index, isThere);
      id = await this.#send(pack, isThere);
    } catch (err) {
      const isTaken = before !== undefined && there !== undefined;
      throw isTaken ? existsError(err, name, version, before.next) : await this.#withReason(err);
    }
    this.#report("publishing", this.#bytesTotal, 0);
    const publishedVersion = await awaitPublication(id, this.#world, (reason) =>
      this.#upload.onWaiting(reason),
    );
    return { ...this.#sums(), publishedVersion };
  }

  async #toServer(files: readonly Part[], alias: Part): Promise<VersionUploaded> {
    const parts = [...files, alias];
    this.#bytesTotal = parts.reduce((sum, { source }) => sum + source.size, 0);
    for (const part of parts) {
      try {
        await this.#send(part, () => true);
      } catch (err) {
        throw part === alias ? aliasError(err, alias.fileName) : err;
      }
    }
    return this.#sums();
  }

  async #imageThere(name: string): Promise<ListedImage | undefined> {
    const { calls, signal } = this.#world;
    try {
      return await new AdminApi(calls).image(name, signal);
    } catch (err) {
      if (isAppError(err, "ERR_IMAGE_NOT_FOUND")) return undefined;
      throw err;
    }
  }

  /** What a refused Close does not say, the list does. */
  async #withReason(failure: unknown): Promise<unknown> {
    const { calls, signal } = this.#world;
    if (!isAppError(failure) || failure.details["packet"] !== "close" || this.#sessionId === undefined)
      return failure;
    const uploads = await listUploads(calls, signal).catch(() => undefined); // `failure` stands in any case
    const outcome = findUpload(uploads, this.#sessionId);
    return outcome?.state === "refused" ? refusedUpload(outcome) : failure;
  }

  #sums() {
    const spared = Math.max(0, this.#bytesTotal - this.#bytesSent);
    return { bytesTotal: this.#bytesTotal, bytesSent: this.#bytesSent, bytesSpared: spared };
  }

  /** @returns the session's id */
  async #send(part: Part, isThere: (sessionId: string) => boolean): Promise<string> {
    const { fileName, source, firstBytes } = part;
    const { resume } = this.#upload;
    const point = resume?.find(fileName, source.stamp);
    const isDone = point?.isClosed === true && isThere(point.sessionId);
    let sentHere = 0;
    const file: FileUpload = {
      fileName,
      source,
      ...(firstBytes !== undefined && { firstBytes }),
      resume: point?.isClosed === true ? undefined : point,
      onPoint: async (next) => {
        this.#sessionId = next.sessionId;
        await this.#note(async () => await resume?.note(fileName, source.stamp, next));
      },
      onProgress: (received, sent) => {
        sentHere = sent;
        this.#report("uploading", this.#bytesBefore + received, sent);
      },
      onWait: (reason, ms) => this.#upload.onRetry(reason, ms),
    };
    const sessionId = isDone ? point.sessionId : await uploadFile(file, this.#world);
    this.#bytesSent += sentHere;
    this.#bytesBefore += source.size;
    return sessionId;
  }

  #report(phase: UploadProgress["phase"], bytesDone: number, sentHere: number): void {
    const bytesSent = this.#bytesSent + sentHere;
    this.#upload.onProgress({ phase, bytesDone, bytesTotal: this.#bytesTotal, bytesSent });
  }

  /** An upload that cannot be resumed is better than none. */
  async #note(write: () => Promise<void>): Promise<void> {
    if (!this.#isResumable) return;
    try {
      await write();
    } catch (err) {
      this.#isResumable = false;
      this.#upload.onUnresumable(err);
    }
  }
}

/** The number stands for something else there. */
function existsError(err: unknown, name: string, version: number, next: number): unknown {
  if (!isAppError(err, "ERR_AUTH_FORBIDDEN") && !isAppError(err, "ERR_IMAGE_EXISTS")) return err;
  return new AppError(
    "ERR_IMAGE_EXISTS",
    `the origin has another version ${version} of ${name}; pack it as one that is free: ckmesh pack --version ${next}`,
    { cause: err, details: { ...err.details, next } },
  );
}

/** All is there but the file that clients look for. */
function aliasError(err: unknown, fileName: string): unknown {
  if (!isAppError(err, "ERR_AUTH_FORBIDDEN") && !isAppError(err, "ERR_IMAGE_EXISTS")) return err;
  return new AppError(
    err.code,
    `pack and index are uploaded, and clients do not see them yet: the server does not let ${fileName} be replaced; allow it (BITSAllowOverwrites) and run this again, or copy the new index over it there`,
    { cause: err, details: err.details },
  );
}
