import { read } from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { AppError, type Clock, describeError, isAppError, type Logger } from "@ckmesh/core";
import { checkControlSuccession, controlFileName } from "@ckmesh/image";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";
import type { Catalogue, FileStamp, PublishedVersion } from "../catalogue/catalogue.js";
import type { Refusal } from "../publish/refusals.js";
import type { OpenFiles } from "../serve/open-files.js";
import { fileKey } from "../serve/served-path.js";
import type { ControlSerials } from "./control-serials.js";
import { checkControl, requireControlSize, type ServedControl } from "./served-control.js";

/** Where a record came from. */
export type ControlSource =
  | { readonly by: "folder" }
  | { readonly by: "api"; readonly user: string; readonly address: string };

export interface ControlChange {
  readonly image: string;
  /** Undefined: its file was taken away. */
  readonly control: ServedControl | undefined;
  readonly source: ControlSource;
  /** False: it was in force before the restart. */
  readonly isNew: boolean;
  /** Undefined when the alias stands for the same version as before, or for none. */
  readonly aliasMovedTo: PublishedVersion | undefined;
}

export interface ControlRecordsOptions {
  readonly root: string;
  readonly publishers: () => readonly Uint8Array[];
  readonly catalogue: Catalogue;
  readonly serials: ControlSerials;
  readonly openFiles: OpenFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onChanged: (change: ControlChange) => void;
}

export interface ControlOffer {
  /** Of the URL, as published if the image is. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly source: ControlSource;
  /** It came over TLS. */
  readonly isPrivate: boolean;
  /** Serial of the record that it was made from, 0 for none: another one must not be in force meanwhile. */
  readonly replaces?: number;
}

type News = Pick<ControlChange, "source" | "isNew">;

interface Entry {
  readonly fileName: string;
  /** Of the file that was looked at last; empty: look again. */
  stamp: string;
  control: ServedControl | undefined;
  refusal: Refusal | undefined;
}

/** Records are kept in memory: this bounds them. */
const MAX_RECORDS = 20_000;
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;
/** Other servers may serve the same folder. */
const FILE_MODE = 0o644;
const readAt = promisify(read);

/**
 * The control records in force. A file that cannot be used changes nothing: the record before it stays in force, and
 * the status says why.
 */
export class ControlRecords {
  readonly #options: ControlRecordsOptions;
  /** By `fileKey(NAME)`. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ControlRecordsOptions) {
    this.#options = options;
  }

  /** @param image in upper or lower case */
  of(image: string): ServedControl | undefined {
    return this.#entries.get(fileKey(image))?.control;
  }

  refusals(): readonly Refusal[] {
    return [...this.#entries.values()].flatMap(({ refusal }) => (refusal === undefined ? [] : [refusal]));
  }

  /** Takes what is new in the folder. Never throws: what goes wrong is in `refusals` and, once, in the log. */
  look(found: ReadonlyMap<string, { readonly image: string; readonly file: FileStamp }>): Promise<void> {
    return this.#inTurn(async () => {
      for (const [key, entry] of this.#entries) {
        // It may have been placed after the folder was listed.
        if (!found.has(key) && (await stampOf(this.#pathOf(entry))) === undefined) this.#drop(key, entry);
      }
      for (const [key, { image, file }] of found) await this.#lookAt(key, image, file);
    });
  }

  /** Looks at every file again, with other publishers. */
  lookAgain(): void {
    for (const entry of this.#entries.values()) entry.stamp = "";
  }

  /**
   * Places a record beside the images, in the place of the one before.
   * @throws {AppError} ERR_CONTROL_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_SIGNATURE_INVALID, ERR_CONTROL_OUTDATED,
   *   ERR_FILE_DENIED, ERR_STORE_FULL
   */
  async put(offer: ControlOffer): Promise<ServedControl> {
    let placed: ServedControl | undefined;
    await this.#inTurn(async () => {
      placed = await this.#put(offer);
    });
    if (placed === undefined) throw new Error("unreachable: it was placed or refused");
    return placed;
  }

  async #put({ name, bytes, source, isPrivate, replaces }: ControlOffer): Promise<ServedControl> {
    const { root } = this.#options;
    const key = fileKey(name);
    const control = this.#check(name, bytes, isPrivate);
    const path = join(root, control.fileName);
    // Another origin on the same folder may have placed one a moment ago.
    const there = await stampOf(path);
    if (there !== undefined) await this.#lookAt(key, name, there);
    this.#checkFollows(key, control);
    const current = this.#entries.get(key)?.control;
    if (current?.bytes.equals(control.bytes) === true) return control;
    const serial = current?.signed.record.serial ?? 0;
    if (replaces !== undefined && replaces !== serial) {
      throw new AppError("ERR_CONTROL_OUTDATED", `control record ${serial} is in force, not ${replaces}`, {
        details: { serial },
      });
    }
    this.#requireRoom(key, control);
    try {
      await writeAtomic(path, control.bytes, FILE_MODE);
    } catch (err) {
      throw placingError(err);
    }
    const isNew = await this.#remember(key, control);
    const stamp = await stampOf(path);
    this.#accept(key, control, { stamp: stamp === undefined ? "" : stampText(stamp), source, isNew });
    return control;
  }

  async #lookAt(key: string, image: string, file: FileStamp): Promise<void> {
    const stamp = stampText(file);
    const known = this.#entries.get(key);
    if (known?.stamp === stamp) return;
    let bytes: Buffer | undefined;
    try {
      bytes = await this.#read(file);
      const published = this.#options.catalogue.nameOf(image) ?? image;
      const control = this.#check(published, bytes, true);
      this.#checkFollows(key, control);
      this.#requireRoom(key, control);
      const isNew = await this.#remember(key, control);
      this.#accept(key, control, { stamp, source: { by: "folder" }, isNew });
    } catch (err) {
      // Of a file that was taken away or replaced just now the next look tells.
      if (isAppError(err, "ERR_IMAGE_NOT_FOUND")) return;
      this.#refuse(key, image, err, isAppError(err) ? stamp : "");
      // The very record in force is no longer good enough: other publishers are configured.
      const entry = this.#entries.get(key);
      if (entry?.control !== undefined && bytes?.equals(entry.control.bytes) === true) {
        this.#setControl(key, entry, undefined, { source: { by: "folder" }, isNew: true });
      }
    }
  }

  /** True if it was never in force here before. */
  async #remember(key: string, control: ServedControl): Promise<boolean> {
    const { serials } = this.#options;
    const { serial } = control.signed.record;
    const isNew = serial > serials.get(key);
    await serials.set(key, serial);
    return isNew;
  }

  async #read(file: FileStamp): Promise<Buffer> {
    requireControlSize(file.size);
    const { openFiles } = this.#options;
    const opened = await openFiles.acquire(file);
    try {
      const { buffer, bytesRead } = await readAt(opened.fd, Buffer.alloc(file.size), 0, file.size, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      opened.release();
      openFiles.evict(file);
    }
  }

  #pathOf({ fileName }: Entry): string {
    return join(this.#options.root, fileName);
  }

  #check(name: string, bytes: Uint8Array, isPrivate: boolean): ServedControl {
    const { publishers, clock } = this.#options;
    return checkControl(name, bytes, { publishers: publishers(), isPrivate, wall: clock.wall() });
  }

  /** @throws {AppError} ERR_CONTROL_OUTDATED */
  #checkFollows(key: string, control: ServedControl): void {
    checkControlSuccession(this.#entries.get(key)?.control?.signed, control.signed);
    const serial = this.#options.serials.get(key);
    if (control.signed.record.serial >= serial) return;
    throw new AppError(
      "ERR_CONTROL_OUTDATED",
      `control record ${control.signed.record.serial} of ${control.signed.record.name} is older than ${serial}, which was in force here`,
      { details: { serial } },
    );
  }

  /** @throws {AppError} ERR_STORE_FULL */
  #requireRoom(key: string, control: ServedControl): void {
    const known = this.#entries.get(key)?.control;
    const bytes = this.#bytes - (known?.bytes.length ?? 0) + control.bytes.length;
    const count = this.#entries.size + (this.#entries.has(key) ? 0 : 1);
    if (bytes <= MAX_TOTAL_BYTES && count <= MAX_RECORDS) return;
    throw new AppError(
      "ERR_STORE_FULL",
      "the folder has too many control records: remove those of old images",
    );
  }

  #accept(key: string, control: ServedControl, news: News & { readonly stamp: string }): void {
    const entry = this.#entries.get(key) ?? {
      fileName: control.fileName,
      stamp: "",
      control: undefined,
      refusal: undefined,
    };
    this.#entries.set(key, entry);
    entry.stamp = news.stamp;
    entry.refusal = undefined;
    if (entry.control?.bytes.equals(control.bytes) !== true) this.#setControl(key, entry, control, news);
  }

  #setControl(key: string, entry: Entry, control: ServedControl | undefined, { source, isNew }: News): void {
    const { catalogue, logger, onChanged } = this.#options;
    const before = entry.control;
    this.#bytes += (control?.bytes.length ?? 0) - (before?.bytes.length ?? 0);
    entry.control = control;
    const image = (control ?? before)?.signed.record.name;
    if (image === undefined) return;
    const withdrawn = new Set(control?.signed.record.withdrawn.map(({ version }) => version));
    const hasAliasMoved = catalogue.setWithdrawn(key, withdrawn);
    logger.info(
      { image, serial: control?.signed.record.serial, source: source.by },
      control === undefined ? "control record is no longer in force" : "control record is in force",
    );
    const aliasMovedTo = hasAliasMoved ? catalogue.newest(image) : undefined;
    onChanged({ image, control, source, isNew, aliasMovedTo });
  }

  /** Its file is gone. */
  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#setControl(key, entry, undefined, { source: { by: "folder" }, isNew: true });
  }

  #refuse(key: string, image: string, err: unknown, stamp: string): void {
    const { clock, logger, root } = this.#options;
    const fileName = controlFileName(image);
    const entry = this.#entries.get(key) ?? { fileName, stamp, control: undefined, refusal: undefined };
    if (this.#entries.size < MAX_RECORDS) this.#entries.set(key, entry);
    entry.stamp = stamp;
    const code = isAppError(err) ? err.code : "ERR_INTERNAL";
    const reason = describeError(err).replaceAll(root, "");
    if (entry.refusal?.code === code && entry.refusal.reason === reason) return;
    entry.refusal = { file: fileName, code, reason, since: Math.round(clock.wall()) };
    logger.warn({ image, code, reason }, "control record refused");
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => {}); // Told to whoever asked for that one.
    return run;
  }
}

async function stampOf(path: string): Promise<FileStamp | undefined> {
  try {
    const { size, mtimeMs, ino } = await lstat(path);
    return { path, size, mtimeMs, ino };
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}

function stampText({ size, mtimeMs, ino }: FileStamp): string {
  return `${size}:${mtimeMs}:${ino}`;
}

/** Where the folder lies is not for those who read the answer. */
function placingError(cause: unknown): unknown {
  // The one from opening, the other from writing and renaming.
  if (isAppError(cause, "ERR_FILE_DENIED") || isAppError(cause, "ERR_CONFIG_INVALID")) {
    return new AppError("ERR_FILE_DENIED", "the origin's account may not write to its image folder", {
      cause,
    });
  }
  if (isAppError(cause, "ERR_STORE_FULL")) {
    return new AppError("ERR_STORE_FULL", "no space is left in the image folder", { cause });
  }
  return cause;
}
