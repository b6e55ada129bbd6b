import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "@ckmesh/auth";
import { accessDenied, diskFull } from "@ckmesh/bits";
import { AppError, sha256, toHex } from "@ckmesh/core";
import { indexFileName, packFileName } from "@ckmesh/image";
import { fileErrorCode } from "@ckmesh/store";
import type { Actor } from "../api/image-remover.js";
import type { FoundFile } from "../catalogue/catalogue.js";
import { stampOf } from "../publish/opaque-pack.js";
import { fileKey } from "../serve/served-path.js";
import type { FrameSource } from "./pack-follow.js";
import { PackFollower } from "./pack-follower.js";
import { isSameUser, newUpload, type Upload } from "./upload.js";
import { UploadFolder } from "./upload-folder.js";
import type { StagedUpload, UploadIntake, UploadTarget, UploadWatcher } from "./upload-intake.js";
import { UploadPublisher, type UploadPublisherOptions } from "./upload-publisher.js";
import { refusalFault } from "./upload-refusal.js";
import { parseUploadTarget } from "./upload-target.js";
import { UploadWatch } from "./upload-watch.js";

export interface UploadsOptions extends UploadPublisherOptions {
  /** For closed uploads; on the file system of the image folder. */
  readonly folder: string;
}

/** A Close is answered by then, whatever is still to be checked; BITS clients wait 5 minutes. */
const CLOSE_WAIT_MS = 20_000;
/** Packs that are checked while they come; the others are checked after their Close. */
const MAX_FOLLOWERS = 3;
/** Closed uploads that wait; more are not begun. */
const MAX_WAITING = 1000;
/** Older versions are looked through for frames, the newest first. */
const MAX_SOURCES = 8;
/** Hexadecimal characters of an entity tag. */
const TAG_LENGTH = 40;

/** What uploaded files mean, from their sessions on; `UploadPublisher` leads them to their end. */
export class Uploads implements UploadIntake {
  readonly #options: UploadsOptions;
  readonly #folder: UploadFolder;
  readonly #uploads = new Map<string, Upload>();
  readonly #publisher: UploadPublisher;

  private constructor(options: UploadsOptions, folder: UploadFolder) {
    this.#options = options;
    this.#folder = folder;
    this.#publisher = new UploadPublisher(options, folder, this.#uploads);
  }

  /** Goes on with what was closed before. @throws {Error} of the file system when the folder cannot be used */
  static async open(options: UploadsOptions): Promise<Uploads> {
    const folder = new UploadFolder(options.folder, options.logger);
    const uploads = new Uploads(options, folder);
    for (const { id, user, target, total, closedAt, end } of await folder.load()) {
      const path = folder.dataPath(id);
      const upload = newUpload({ id, user, target, path, received: total, total });
      Object.assign(upload, { closedAt, end, state: end?.state ?? "checking" });
      uploads.#uploads.set(id, upload);
      if (end === undefined) uploads.#publisher.take(upload);
    }
    uploads.#publisher.plan();
    return uploads;
  }

  parseTarget(segment: string): UploadTarget {
    return parseUploadTarget(segment);
  }

  async admit({ image, version, kind }: UploadTarget): Promise<void> {
    const { catalogue, root, allowOverwrites } = this.#options;
    if (version !== undefined && !allowOverwrites()) {
      const name = catalogue.nameOf(image) ?? image;
      const fileName = kind === "pack" ? packFileName(name, version) : indexFileName(name, version);
      if (catalogue.get(name, version) !== undefined) {
        throw accessDenied(`${name} version ${version} is published already`, "ERR_IMAGE_EXISTS");
      }
      if (await isThere(join(root, fileName))) {
        throw accessDenied(`the image folder has a file ${fileName} already`, "ERR_IMAGE_EXISTS");
      }
    }
    if (this.#publisher.held.size >= MAX_WAITING) {
      throw diskFull(new Error(`${MAX_WAITING} uploaded files wait for their other half`));
    }
  }

  begin({ sessionId: id, user, target, path, received, total }: StagedUpload): UploadWatcher {
    const upload = newUpload({ id, user, target, path, received, total });
    this.#uploads.set(id, upload);
    return new UploadWatch(upload, {
      follow: (versionId) => this.#follow(upload, versionId),
      close: (length) => this.#close(upload, length),
      discard: () => this.#discard(upload),
      clock: this.#options.clock,
    });
  }

  wasClosed(sessionId: string, user: Identity): boolean {
    const upload = this.#uploads.get(sessionId);
    if (upload === undefined || !isSameUser(upload.user, user)) return false;
    if (upload.end?.state === "refused") throw refusalFault(upload.end);
    return upload.closedAt !== undefined;
  }

  heldBytes(): number {
    return [...this.#publisher.held].reduce((sum, { total }) => sum + (total ?? 0), 0);
  }

  /** Every upload that is known, in the order of their beginning. */
  list(): readonly Readonly<Upload>[] {
    return [...this.#uploads.values()];
  }

  /** A closed file that is not published yet, for the user who uploaded it. @param key of `fileKey` */
  async findStaged(key: string, user: Identity | undefined): Promise<FoundFile | undefined> {
    const { held } = this.#publisher;
    if (user === undefined || held.size === 0) return undefined;
    const upload = [...held].findLast(
      ({ target, user: owner }) => isSameUser(owner, user) && fileKey(target.fileName) === key,
    );
    if (upload === undefined) return undefined;
    const stamp = await stampOf(upload.path).catch(() => undefined); // Published or refused a moment ago.
    if (stamp === undefined) return undefined;
    const etag = `"${toHex(sha256(Buffer.from(upload.id))).slice(0, TAG_LENGTH)}-u"`;
    const lastModified = Math.floor((upload.closedAt ?? 0) / 1000);
    // Like an alias: another file may stand behind the name a moment later.
    return { file: { ...stamp, fileName: upload.target.fileName, etag, lastModified }, isAlias: true };
  }

  /**
   * Takes a closed upload away, or forgets how one ended; false when there is none of that id.
   * @param actor who wants it
   * @throws {AppError} ERR_STORE_BUSY while it is checked
   */
  async remove(id: string, actor: Actor): Promise<boolean> {
    const upload = this.#uploads.get(id);
    if (upload?.closedAt === undefined) return false;
    if (upload.state === "checking") {
      throw new AppError("ERR_STORE_BUSY", "the upload is being checked; ask again in a moment");
    }
    await this.#publisher.forget(upload);
    this.#publisher.plan();
    const { user, target } = upload;
    const entry = { file: target.fileName, session: id, user: user.name };
    const { audit, clock } = this.#options;
    audit.write(
      { action: "upload-removed", ...entry, remover: actor.user, address: actor.address },
      clock.wall(),
    );
    return true;
  }

  async close(): Promise<void> {
    await this.#publisher.close();
  }

  /** A thread for a pack that comes, if its index is here and not too many run. */
  #follow(upload: Upload, versionId: string): PackFollower | undefined {
    const indexes = [...this.#publisher.held].filter(
      ({ content }) => content?.type === "index" && content.versionId === versionId,
    );
    const index = indexes.find(({ user }) => isSameUser(user, upload.user)) ?? indexes[0];
    const running = this.list().filter(({ follower }) => follower !== undefined).length;
    if (index === undefined || running >= MAX_FOLLOWERS) return undefined;
    return new PackFollower({
      indexPath: index.path,
      packPath: upload.path,
      sources: this.#sourcesFor(upload.target.image),
      received: upload.received,
    });
  }

  #sourcesFor(image: string): readonly FrameSource[] {
    const { catalogue } = this.#options;
    const versions = catalogue.list().find(({ name }) => fileKey(name) === fileKey(image))?.versions ?? [];
    return versions
      .filter(({ isOpaque }) => !isOpaque)
      .slice(-MAX_SOURCES)
      .toReversed()
      .map(({ pack, index }) => ({ packPath: pack.path, indexPath: index.path }));
  }

  /** @throws {BitsFault} when it is refused by the time the Close must be answered */
  async #close(upload: Upload, total: number): Promise<void> {
    const { id, user, target } = upload;
    const closedAt = Math.round(this.#options.clock.wall());
    await upload.follower?.opened;
    await this.#folder.adopt({ id, user, target, total, closedAt }, upload.path);
    Object.assign(upload, { path: this.#folder.dataPath(id), received: total, total, closedAt });
    this.#publisher.take(upload);
    await this.#publisher.settled(upload, CLOSE_WAIT_MS);
    if (upload.end?.state === "refused") throw refusalFault(upload.end);
  }

  #discard(upload: Upload): void {
    upload.follower?.close();
    this.#uploads.delete(upload.id);
    this.#publisher.plan();
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return false;
    throw err;
  }
}
