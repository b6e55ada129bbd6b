import { indexFileName, packFileName } from "@ckmesh/image";
import { fileKey } from "../serve/served-path.js";

/** What a file on disk was when it was checked: another size, time or inode is another file. */
export interface FileStamp {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
}

/** A file as it is served. */
export interface ServedFile extends FileStamp {
  /** Its version name, as in the URL. */
  readonly fileName: string;
  /** Strong, with quotes; the alias has the same one. */
  readonly etag: string;
  /** Unix seconds, from the head: the same on every origin. */
  readonly lastModified: number;
}

export interface PublishedVersion {
  readonly name: string;
  readonly version: number;
  /** Version id, hexadecimal. */
  readonly id: string;
  readonly isOpaque: boolean;
  readonly isSigned: boolean;
  /** Unix seconds, from the head. */
  readonly createdAt: number;
  /** Unix ms. */
  readonly publishedAt: number;
  readonly pack: ServedFile;
  readonly index: ServedFile;
  /** Our index of an opaque pack that came with a foreign one. */
  readonly framesIndex?: ServedFile;
}

/** A delta that is served. */
export interface PublishedDelta {
  readonly name: string;
  /** It leads from version `from` to this one. */
  readonly version: number;
  readonly from: number;
  /** Id of the delta, hexadecimal. */
  readonly id: string;
  readonly pack: ServedFile;
  readonly index: ServedFile;
}

export interface FoundFile {
  readonly file: ServedFile;
  readonly isAlias: boolean;
}

interface Image {
  readonly name: string;
  readonly versions: Map<number, PublishedVersion>;
  /** By the version that they lead to, then by the one that they lead from; both are among the versions. */
  readonly deltas: Map<number, Map<number, PublishedDelta>>;
}

/**
 * The published images: what is not in here is not served. All names of an image change in one step, so an
 * alias never points to the pack of one version and the index of another.
 */
export class Catalogue {
  readonly #images = new Map<string, Image>();
  readonly #files = new Map<string, FoundFile>();
  /** By `fileKey(NAME)`: versions that wait for a delta, with the one that it leads from. */
  readonly #awaited = new Map<string, Map<number, number>>();
  /** By `fileKey(NAME)`: versions that the alias passes over, published or not. */
  readonly #withdrawn = new Map<string, ReadonlySet<number>>();

  /** Adds a version, or takes it again with other stamps. True if the alias now stands for another version. */
  publish(version: PublishedVersion): boolean {
    const key = fileKey(version.name);
    const image: Image = this.#images.get(key) ?? {
      name: version.name,
      versions: new Map(),
      deltas: new Map(),
    };
    const before = this.#newestOf(image);
    this.#images.set(key, image);
    this.#forgetFiles(image);
    image.versions.set(version.version, version);
    this.#indexFiles(image);
    return this.#newestOf(image)?.id !== before?.id;
  }

  /** Takes a version away, and all deltas from it and to it. True if the alias now stands for another version. */
  remove(name: string, version: number): boolean {
    const key = fileKey(name);
    const image = this.#images.get(key);
    if (image === undefined || !image.versions.has(version)) return false;
    const before = this.#newestOf(image);
    this.#forgetFiles(image);
    image.versions.delete(version);
    image.deltas.delete(version);
    for (const deltas of image.deltas.values()) deltas.delete(version);
    this.#indexFiles(image);
    if (image.versions.size === 0) this.#images.delete(key);
    const after = this.#newestOf(image);
    return after !== undefined && after.id !== before?.id;
  }

  /** Adds a delta between two versions that are published, or takes it again with other stamps. */
  publishDelta(delta: PublishedDelta): void {
    const { name, version, from } = delta;
    const image = this.#images.get(fileKey(name));
    if (image === undefined || !image.versions.has(version) || !image.versions.has(from)) {
      throw new Error("unreachable: a delta without its versions");
    }
    this.#forgetFiles(image);
    const deltas = image.deltas.get(version) ?? new Map<number, PublishedDelta>();
    image.deltas.set(version, deltas.set(from, delta));
    this.#indexFiles(image);
  }

  removeDelta(name: string, version: number, from: number): void {
    const image = this.#images.get(fileKey(name));
    if (image === undefined) return;
    this.#forgetFiles(image);
    image.deltas.get(version)?.delete(from);
    this.#indexFiles(image);
  }

  delta(name: string, version: number, from: number): PublishedDelta | undefined {
    return this.#images.get(fileKey(name))?.deltas.get(version)?.get(from);
  }

  /** Deltas to a version, from the newest base on. */
  deltasTo(name: string, version: number): readonly PublishedDelta[] {
    const deltas = this.#images.get(fileKey(name))?.deltas.get(version)?.values() ?? [];
    return [...deltas].toSorted((a, b) => b.from - a.from);
  }

  /** Deltas to a version and from it. */
  deltasAt(name: string, version: number): readonly PublishedDelta[] {
    const deltas = this.#images.get(fileKey(name))?.deltas.values() ?? [];
    return [...deltas].flatMap((to) =>
      [...to.values()].filter((delta) => delta.version === version || delta.from === version),
    );
  }

  /**
   * Says which versions of an image the alias passes over. True if it now stands for another version.
   * @param key of `fileKey(NAME)`
   */
  setWithdrawn(key: string, versions: ReadonlySet<number>): boolean {
    const image = this.#images.get(key);
    const before = image === undefined ? undefined : this.#newestOf(image);
    if (versions.size === 0) this.#withdrawn.delete(key);
    else this.#withdrawn.set(key, versions);
    if (image === undefined) return false;
    this.#forgetFiles(image);
    this.#indexFiles(image);
    const after = this.#newestOf(image);
    return after !== undefined && after.id !== before?.id;
  }

  /**
   * Lets the alias pass over a version as long as another one can stand for it: the one that a delta leads from.
   * Before the version is published.
   */
  awaitDelta(name: string, version: number, from: number): void {
    const key = fileKey(name);
    this.#awaited.set(key, new Map(this.#awaited.get(key)).set(version, from));
  }

  /** The alias passes over a version no longer. True if it now stands for another one. */
  endDeltaWait(name: string, version: number): boolean {
    const key = fileKey(name);
    const image = this.#images.get(key);
    const before = image === undefined ? undefined : this.#newestOf(image);
    const awaited = this.#awaited.get(key);
    awaited?.delete(version);
    if (awaited?.size === 0) this.#awaited.delete(key);
    if (image === undefined) return false;
    this.#forgetFiles(image);
    this.#indexFiles(image);
    return this.#newestOf(image)?.id !== before?.id;
  }

  /** The alias passes over this version until a delta is there. */
  awaitsDelta(name: string, version: number): boolean {
    const image = this.#images.get(fileKey(name));
    return image !== undefined && this.#isPassedOver(image, version);
  }

  isWithdrawn(name: string, version: number): boolean {
    return this.#withdrawn.get(fileKey(name))?.has(version) === true;
  }

  /** @param key of `fileKey` */
  find(key: string): FoundFile | undefined {
    return this.#files.get(key);
  }

  /** The image's name as published, whatever the case of `name`. */
  nameOf(name: string): string | undefined {
    return this.#images.get(fileKey(name))?.name;
  }

  /** What the alias stands for: withdrawn versions do not count, nor those that wait for a delta. */
  newest(name: string): PublishedVersion | undefined {
    const image = this.#images.get(fileKey(name));
    return image === undefined ? undefined : this.#newestOf(image);
  }

  get(name: string, version: number): PublishedVersion | undefined {
    return this.#images.get(fileKey(name))?.versions.get(version);
  }

  /** By image name, each with its versions in ascending order. */
  list(): readonly { readonly name: string; readonly versions: readonly PublishedVersion[] }[] {
    return [...this.#images.values()]
      .map(({ name, versions }) => ({
        name,
        versions: [...versions.values()].toSorted((a, b) => a.version - b.version),
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  get imageCount(): number {
    return this.#images.size;
  }

  get versionCount(): number {
    let count = 0;
    for (const image of this.#images.values()) count += image.versions.size;
    return count;
  }

  get deltaCount(): number {
    let count = 0;
    for (const { deltas } of this.#images.values()) for (const to of deltas.values()) count += to.size;
    return count;
  }

  #forgetFiles(image: Image): void {
    for (const version of image.versions.values()) {
      for (const [name] of namesOf(version)) this.#files.delete(fileKey(name));
    }
    for (const { fileName } of deltaFiles(image)) this.#files.delete(fileKey(fileName));
    for (const suffix of ALIAS_SUFFIXES) this.#files.delete(fileKey(image.name + suffix));
  }

  #indexFiles(image: Image): void {
    for (const version of image.versions.values()) {
      for (const [name, file] of namesOf(version)) this.#files.set(fileKey(name), { file, isAlias: false });
    }
    for (const file of deltaFiles(image)) {
      // It may be made anew, with other bytes.
      this.#files.set(fileKey(file.fileName), { file, isAlias: true });
    }
    const newest = this.#newestOf(image);
    if (newest === undefined) return;
    const prefix = packFileName(newest.name, newest.version);
    for (const [name, file] of namesOf(newest)) {
      const alias = `${image.name}.ckm${name.slice(prefix.length)}`;
      this.#files.set(fileKey(alias), { file, isAlias: true });
    }
  }

  #newestOf(image: Image): PublishedVersion | undefined {
    const withdrawn = this.#withdrawn.get(fileKey(image.name));
    let newest: PublishedVersion | undefined;
    for (const version of image.versions.values()) {
      if (withdrawn?.has(version.version) === true || this.#isPassedOver(image, version.version)) continue;
      if (newest === undefined || version.version > newest.version) newest = version;
    }
    return newest;
  }

  /** It waits for a delta, and the version from which that leads can stand for it. */
  #isPassedOver(image: Image, version: number): boolean {
    const key = fileKey(image.name);
    const from = this.#awaited.get(key)?.get(version);
    return from !== undefined && image.versions.has(from) && this.#withdrawn.get(key)?.has(from) !== true;
  }
}

const ALIAS_SUFFIXES = [".ckm", ".ckm.index", ".ckm.frames.index"];

/** File name of our index beside a foreign one. */
export function framesIndexFileName(name: string, version: number): string {
  return `${packFileName(name, version)}.frames.index`;
}

function deltaFiles({ deltas }: Image): readonly ServedFile[] {
  return [...deltas.values()].flatMap((to) => [...to.values()].flatMap(({ pack, index }) => [pack, index]));
}

function namesOf(version: PublishedVersion): readonly (readonly [string, ServedFile])[] {
  const { name, version: n, pack, index, framesIndex } = version;
  return [
    [packFileName(name, n), pack],
    [indexFileName(name, n), index],
    ...(framesIndex === undefined ? [] : [[framesIndexFileName(name, n), framesIndex] as const]),
  ];
}
