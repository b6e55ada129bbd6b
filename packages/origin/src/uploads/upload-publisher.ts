import { AppError, describeError, isAppError } from "@ckmesh/core";
import type { PublishedVersion } from "../catalogue/catalogue.js";
import { verifyIndexInWorker } from "../publish/verify-in-worker.js";
import { fileKey } from "../serve/served-path.js";
import { type IdentifiedUpload, identifyUpload } from "./identify-upload.js";
import { Lanes } from "./lanes.js";
import { PackFollower } from "./pack-follower.js";
import { pairUploads, type UploadContent, type WaitingUpload } from "./pairing.js";
import {
  type Publication,
  type PublishPairOptions,
  publishForeignPair,
  publishOwnPair,
  requireNewNumber,
} from "./publish-pair.js";
import { type Upload, userKey, wait } from "./upload.js";
import { UploadEnds, type UploadEndsOptions } from "./upload-ends.js";
import type { UploadFolder } from "./upload-folder.js";
import type { UploadTarget } from "./upload-intake.js";
import type { UploadEnd } from "./upload-record.js";
import { isTransient } from "./upload-refusal.js";

export interface UploadPublisherOptions extends PublishPairOptions, UploadEndsOptions {
  /** Whether files of a version may be uploaded again under its own URL: the same content, for damaged ones. */
  readonly allowOverwrites: () => boolean;
  /** How long a foreign pack waits for an index, ms, before it is published alone. */
  readonly settleMs: number;
  /** How long a half waits for the other one, ms. */
  readonly holdMs: () => number;
}

/** How long, and how many, ends are remembered. */
const REMEMBER_MS = 24 * 3_600_000;
const MAX_ENDED = 1000;

/** Leads closed uploads to their end: what are they, what belongs together, is it right, publish. */
export class UploadPublisher {
  readonly #options: UploadPublisherOptions;
  readonly #uploads: Map<string, Upload>;
  readonly #held = new Set<Upload>();
  readonly #ends: UploadEnds;
  readonly #stop = new AbortController();
  readonly #work = new Set<Promise<void>>();
  /** By image: a number is given once. */
  readonly #publications = new Lanes();
  readonly #listeners = new Set<() => void>();
  /** One after the other: an index may take much memory. */
  readonly #indexChecks = new Lanes();
  /** Packs that nobody followed while they came: one after the other. */
  readonly #lateChecks = new Lanes();
  #cancelTimer: (() => void) | undefined;

  /** @param uploads shared with the intake, which adds to it */
  constructor(options: UploadPublisherOptions, folder: UploadFolder, uploads: Map<string, Upload>) {
    this.#options = options;
    this.#uploads = uploads;
    this.#ends = new UploadEnds(options, folder);
  }

  /** Closed uploads that have not ended. */
  get held(): ReadonlySet<Upload> {
    return this.#held;
  }

  /** Takes a closed upload on. */
  take(upload: Upload): void {
    upload.state = "checking";
    this.#held.add(upload);
    this.#background(this.#take(upload));
  }

  /** Resolves when `upload` waits or has ended, after `limitMs` at the latest. */
  async settled(upload: Upload, limitMs: number): Promise<void> {
    if (upload.state !== "checking") return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel();
        this.#listeners.delete(look);
        resolve();
      };
      const look = (): void => {
        if (upload.state !== "checking") done();
      };
      const cancel = this.#options.clock.after(limitMs, done);
      this.#listeners.add(look);
    });
  }

  /** Forgets an upload and deletes what is left of it. */
  async forget(upload: Upload): Promise<void> {
    this.#uploads.delete(upload.id);
    this.#held.delete(upload);
    await this.#ends.forget(upload);
  }

  /** Decides what to publish and what to refuse, now and when time has passed. Call it when something changed. */
  plan(): void {
    if (!this.#stop.signal.aborted) this.#decide();
    for (const listener of this.#listeners) listener();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#cancelTimer?.();
    for (const { follower } of this.#uploads.values()) follower?.close();
    await Promise.all(this.#work);
  }

  #decide(): void {
    const { clock, settleMs } = this.#options;
    const now = clock.wall();
    const { waiting, nextAt } = this.#due(now);
    const open = [...this.#uploads.values()]
      .filter(({ state }) => state === "receiving")
      .map(({ user, target }) => ({ user: userKey(user), target }));
    const { steps, lookAgainAt } = pairUploads(waiting, open, now, settleMs);
    for (const step of steps) {
      if (step.type === "publish") this.#publish(step.pack, step.index);
      else this.#background(this.#refuse(step.upload, step.why));
    }
    this.#cancelTimer?.();
    const at = Math.min(nextAt, lookAgainAt ?? Infinity);
    // Not further ahead than timers can look.
    const ms = Math.min(Math.max(0, at - now), REMEMBER_MS);
    this.#cancelTimer = at === Infinity ? undefined : clock.after(ms, () => this.plan());
  }

  /** What time has done: ends are forgotten, failures are tried again, halves have waited for too long. */
  #due(now: number): { readonly waiting: readonly WaitingUpload[]; readonly nextAt: number } {
    const waiting: WaitingUpload[] = [];
    let nextAt = Infinity;
    const isDue = (at: number): boolean => {
      if (now < at) nextAt = Math.min(nextAt, at);
      return now >= at;
    };
    let surplus = [...this.#uploads.values()].filter(({ end }) => end !== undefined).length - MAX_ENDED;
    for (const upload of this.#uploads.values()) {
      const { id, user, target, content, closedAt = 0, end } = upload;
      if (end !== undefined) {
        if (surplus > 0 || isDue(end.at + REMEMBER_MS)) this.#background(this.forget(upload));
        surplus -= 1;
      } else if (upload.state === "waiting") {
        if (isDue(closedAt + this.#options.holdMs())) {
          const late = new AppError("ERR_TIMEOUT", "its other half did not come in time");
          this.#background(this.#end(upload, this.#ends.refused(late)));
        } else if (isDue(upload.retryAt)) {
          const elsewhere = this.#endElsewhere(upload);
          if (content === undefined) this.take(upload);
          else if (elsewhere !== undefined) this.#background(this.#end(upload, elsewhere));
          else waiting.push({ id, user: userKey(user), target, content, closedAt });
        }
      }
    }
    return { waiting, nextAt };
  }

  /** What became of a waiting half's version without it: the folder or somebody else brought it, or its number is taken. */
  #endElsewhere(upload: Upload): UploadEnd | undefined {
    const published = this.#publishedAs(upload);
    if (published !== undefined) return this.#ends.published(published);
    const end = this.#endOfIndex(upload.content);
    return end === undefined ? undefined : { ...end, at: Math.round(this.#options.clock.wall()) };
  }

  /** How every index ended that a pack could belong to, when its number stands for something else. */
  #endOfIndex(pack: UploadContent | undefined): UploadEnd | undefined {
    if (pack?.type !== "pack") return undefined;
    const indexes = [...this.#uploads.values()].filter(
      ({ content }) => content?.type === "index" && content.versionId === pack.versionId,
    );
    if (indexes.some(({ end }) => end === undefined)) return undefined;
    return indexes.find(({ end }) => end?.state === "refused" && end.code === "ERR_IMAGE_EXISTS")?.end;
  }

  /** Looks at what a closed upload is. */
  async #take(upload: Upload): Promise<void> {
    try {
      const { content, index } = await this.#identify(upload);
      upload.content = content;
      upload.index = index;
      const published = this.#publishedAs(upload);
      if (published === undefined) {
        if (upload.index !== undefined) requireNewNumber(this.#options, upload.index);
        wait(upload);
      } else {
        await this.#end(upload, this.#ends.published(published));
      }
    } catch (err) {
      await this.#fail(upload, err);
    }
    this.plan();
  }

  #identify({ target, path, total = 0 }: Upload): Promise<IdentifiedUpload> {
    return identifyUpload(
      { target, path, total },
      {
        publishers: this.#options.prove.publishers(),
        isOpaqueExpected: this.#hasOpaqueIndex(target),
        verifyIndex: (publishers) =>
          this.#indexChecks.run("", () => verifyIndexInWorker(path, publishers, this.#stop.signal)),
      },
    );
  }

  /** A signed index may describe a pack that is not ours. */
  #hasOpaqueIndex({ image }: UploadTarget): boolean {
    return [...this.#held].some(
      ({ target, index }) => index?.isOpaque === true && fileKey(target.image) === fileKey(image),
    );
  }

  /** The version that is published with these very bytes, and need not be published again. */
  #publishedAs(upload: Upload): PublishedVersion | undefined {
    const { content, target } = upload;
    if (content === undefined || !("versionId" in content) || this.#mayReplace(upload)) return undefined;
    const image = this.#options.catalogue.list().find(({ name }) => fileKey(name) === fileKey(target.image));
    return image?.versions.find(({ id }) => id === content.versionId);
  }

  async #refuse(id: string, why: "superseded" | "mismatch"): Promise<void> {
    const upload = this.#uploads.get(id);
    if (upload === undefined) return;
    const code = upload.target.kind === "pack" ? "ERR_PACK_INVALID" : "ERR_INDEX_INVALID";
    const reason =
      why === "superseded"
        ? "the same file was uploaded again"
        : "the pack and the index that were uploaded do not belong together: upload the two that were packed together";
    await this.#end(upload, this.#ends.refused(new AppError(code, reason)));
  }

  #publish(packId: string, indexId: string | undefined): void {
    const pack = this.#uploads.get(packId);
    const index = indexId === undefined ? undefined : this.#uploads.get(indexId);
    if (pack === undefined) throw new Error("unreachable: an upload that is gone was paired");
    for (const upload of [pack, index]) if (upload !== undefined) upload.state = "checking";
    const image = fileKey(pack.target.image);
    this.#background(this.#publications.run(image, () => this.#publishPair(pack, index)));
  }

  async #publishPair(pack: Upload, index: Upload | undefined): Promise<void> {
    const { clock, logger } = this.#options;
    const started = clock.now();
    const both = index === undefined ? [pack] : [pack, index];
    try {
      const { name: image, version } =
        index?.index === undefined
          ? await this.#publishForeign(pack, index)
          : await this.#publishOwn(pack, { ...index, index: index.index });
      const ms = Math.round(clock.now() - started);
      logger.info({ image, version, user: pack.user.name, bytes: pack.total, ms }, "upload published");
      for (const upload of both) await this.#end(upload, this.#ends.published({ name: image, version })); // oxlint-disable-line no-await-in-loop -- two
    } catch (err) {
      await this.#fail(pack, err);
      // A bad pack says nothing against its index, which waits for a better one.
      if (index !== undefined && isAppError(err, "ERR_PACK_INVALID")) wait(index);
      else if (index !== undefined) await this.#fail(index, err);
    }
    this.plan();
  }

  async #publishForeign(
    pack: Upload,
    index: Upload | undefined,
  ): Promise<{ readonly name: string; readonly version: number }> {
    const paths = { pack: pack.path, index: index?.path };
    const image = { name: pack.target.image, version: pack.target.version };
    return publishForeignPair(this.#options, paths, image, this.#publicationOf(pack), this.#stop.signal);
  }

  async #publishOwn(
    pack: Upload,
    index: Pick<Upload, "path"> & { readonly index: NonNullable<Upload["index"]> },
  ): Promise<{ readonly name: string; readonly version: number }> {
    const { version } = index.index;
    if (pack.target.version !== undefined && pack.target.version !== version) {
      throw new AppError(
        "ERR_PACK_INVALID",
        `the pack is of version ${version}, but was uploaded as ${pack.target.fileName}`,
      );
    }
    // Somebody else uploaded the same meanwhile.
    const published = this.#publishedAs(pack);
    if (published !== undefined) return published;
    const paths = { pack: pack.path, index: index.path };
    const check = (): Promise<void> => this.#check(pack, index.path);
    await publishOwnPair(this.#options, paths, index.index, this.#publicationOf(pack), check);
    return index.index;
  }

  #publicationOf(pack: Upload): Publication {
    return { uploader: pack.user, mayReplace: this.#mayReplace(pack) };
  }

  #mayReplace({ target }: Upload): boolean {
    return target.version !== undefined && this.#options.allowOverwrites();
  }

  /** Ends at once when the pack was followed while it came. */
  async #check(pack: Upload, indexPath: string): Promise<void> {
    const { follower, total = 0 } = pack;
    if (follower !== undefined && (await hasFinished(follower, total))) return;
    await this.#lateChecks.run("", async () => {
      this.#stop.signal.throwIfAborted();
      const late = new PackFollower({ indexPath, packPath: pack.path, sources: [], received: total });
      pack.follower = late;
      await late.finish(total);
    });
  }

  /** Refuses the upload, unless what failed may go right the next time. */
  async #fail(upload: Upload, err: unknown): Promise<void> {
    if (isTransient(err)) this.#ends.retryLater(upload, err, this.#stop.signal.aborted);
    else await this.#end(upload, this.#ends.refused(err));
  }

  async #end(upload: Upload, end: UploadEnd): Promise<void> {
    this.#held.delete(upload);
    await this.#ends.end(upload, end);
    for (const listener of this.#listeners) listener();
  }

  #background(work: Promise<void>): void {
    const watched = work
      .catch((err: unknown) => {
        this.#options.logger.error({ err, reason: describeError(err) }, "uploads: unexpected failure");
      })
      .finally(() => this.#work.delete(watched));
    this.#work.add(watched);
  }
}

/**
 * False when the thread failed for another reason than what it read: then another one looks.
 * @throws {AppError} ERR_PACK_INVALID
 */
async function hasFinished(follower: PackFollower, total: number): Promise<boolean> {
  try {
    await follower.finish(total);
    return true;
  } catch (err) {
    if (isAppError(err, "ERR_PACK_INVALID")) throw err;
    return false;
  }
}
