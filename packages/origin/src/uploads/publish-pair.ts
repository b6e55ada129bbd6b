import { join } from "node:path";
import type { Identity } from "@ckmesh/auth";
import { AppError, isAppError } from "@ckmesh/core";
import { indexFileName, packFileName } from "@ckmesh/image";
import type { Catalogue, FileStamp, PublishedVersion } from "../catalogue/catalogue.js";
import type { CatalogueCache } from "../catalogue/catalogue-cache.js";
import { type FolderPair, pairFingerprint } from "../publish/folder-scan.js";
import { stampOf } from "../publish/opaque-pack.js";
import { type ProvenPair, type ProvePairOptions, provePair } from "../publish/prove-pair.js";
import type { PublishGate } from "../publish/publish-gate.js";
import type { VerifiedIndex } from "../publish/verify-pair.js";
import { fileKey } from "../serve/served-path.js";
import { type Placement, placeFiles, replaceFiles } from "./place-files.js";

export interface PublishPairOptions {
  readonly root: string;
  readonly gate: Pick<PublishGate, "publishProven">;
  readonly catalogue: Catalogue;
  readonly cache: CatalogueCache;
  readonly prove: ProvePairOptions;
}

/** Who publishes, and whether files of that version may lie in the folder already. */
export interface Publication {
  readonly uploader: Identity;
  readonly mayReplace: boolean;
}

/** How often a number is taken that somebody else takes at the same moment. */
const MAX_ATTEMPTS = 5;

/**
 * Publishes an uploaded pair whose pack `check` proves to be the one of its index.
 * @throws {AppError} ERR_IMAGE_EXISTS, what `check` throws, ERR_SHUTTING_DOWN
 */
export async function publishOwnPair(
  options: PublishPairOptions,
  paths: { readonly pack: string; readonly index: string },
  index: VerifiedIndex,
  publication: Publication,
  check: () => Promise<void>,
): Promise<void> {
  const { name, version } = index;
  requireNewNumber(options, index);
  await check();
  const publishedAt =
    options.cache.get(fileKey(`${name}_${version}`))?.publishedAt ?? Math.round(options.prove.clock.wall());
  const staged = { name, version, pack: await stampOf(paths.pack), index: await stampOf(paths.index) };
  const proven = { verified: index, publishedAt, opaque: undefined };
  await publish(options, staged, proven, publication, ["pack", "index"]);
}

/**
 * Publishes an uploaded pack that is not ours, under the number that the URL names, else the next one.
 * @throws {AppError} ERR_IMAGE_EXISTS, ERR_SIGNATURE_INVALID where publishers are configured, ERR_PACK_INVALID
 */
export async function publishForeignPair(
  options: PublishPairOptions,
  paths: { readonly pack: string; readonly index: string | undefined },
  image: { readonly name: string; readonly version: number | undefined },
  publication: Publication,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly version: number }> {
  const { catalogue, cache, prove } = options;
  const pack = await stampOf(paths.pack);
  const placed = findPlaced(catalogue, image, pack);
  if (placed !== undefined) return placed;
  const index = paths.index === undefined ? undefined : await stampOf(paths.index);
  let atLeast = 1;
  for (let attempt = 1; ; attempt += 1) {
    const next = Math.max(atLeast, highestNumber(options, image.name) + 1);
    const version = image.version ?? next;
    const name = catalogue.nameOf(image.name) ?? image.name;
    const key = fileKey(`${name}_${version}`);
    const staged: FolderPair = { name, version, pack, ...(index === undefined ? {} : { index }) };
    const known = { version: cache.get(key), fingerprint: pairFingerprint(staged) };
    try {
      const proven = await provePair(prove, staged, "foreign", signal, known); // oxlint-disable-line no-await-in-loop -- the next number only when this one is taken
      // Without its index, the folder's watcher would take the pack for a lone one.
      await publish(options, staged, proven, publication, ["index", "pack"]); // oxlint-disable-line no-await-in-loop
      return { name, version };
    } catch (err) {
      const isTaken = isAppError(err, "ERR_IMAGE_EXISTS") && image.version === undefined;
      if (!isTaken || attempt === MAX_ATTEMPTS) throw err;
      atLeast = version + 1;
    }
  }
}

/** The version that is this very file: it was published before a crash, or a full disk, left its end unsaved. */
function findPlaced(
  catalogue: Catalogue,
  image: { readonly name: string; readonly version: number | undefined },
  { ino, size, mtimeMs }: FileStamp,
): PublishedVersion | undefined {
  const published = catalogue.list().find(({ name }) => fileKey(name) === fileKey(image.name));
  return published?.versions.find(
    ({ version, pack }) =>
      (image.version ?? version) === version &&
      pack.ino === ino &&
      pack.size === size &&
      pack.mtimeMs === mtimeMs,
  );
}

/**
 * Before anything is read or sent for it.
 * @throws {AppError} ERR_IMAGE_EXISTS
 */
export function requireNewNumber(
  { catalogue, cache }: Pick<PublishPairOptions, "catalogue" | "cache">,
  { name, version, id }: Pick<VerifiedIndex, "name" | "version" | "id">,
): void {
  const remembered = cache.get(fileKey(`${name}_${version}`));
  const published = catalogue.get(name, version);
  if ((remembered ?? published)?.id === id || (remembered === undefined && published === undefined)) return;
  const newest = highestNumber({ catalogue, cache }, name);
  throw new AppError(
    "ERR_IMAGE_EXISTS",
    `${name} version ${version} was published before with other content; a version never changes: pack this one with --version ${newest + 1}`,
  );
}

async function publish(
  { root, gate }: PublishPairOptions,
  staged: FolderPair,
  proven: ProvenPair,
  { uploader, mayReplace }: Publication,
  order: readonly ("pack" | "index")[],
): Promise<void> {
  const { name, version } = staged;
  const at = (file: FileStamp, fileName: string): FileStamp => ({ ...file, path: join(root, fileName) });
  const pair = {
    name,
    version,
    ...(staged.pack === undefined ? {} : { pack: at(staged.pack, packFileName(name, version)) }),
    ...(staged.index === undefined ? {} : { index: at(staged.index, indexFileName(name, version)) }),
  };
  const placements = order.flatMap((kind): readonly Placement[] => {
    const [from, to] = [staged[kind], pair[kind]];
    return from === undefined || to === undefined ? [] : [{ from: from.path, to: to.path }];
  });
  const place = mayReplace ? replaceFiles : placeFiles;
  await gate.publishProven(pair, proven, { uploader, mayReplace }, () => place(root, placements));
}

function highestNumber(
  { catalogue, cache }: Pick<PublishPairOptions, "catalogue" | "cache">,
  name: string,
): number {
  return Math.max(catalogue.newest(name)?.version ?? 0, cache.highest(name));
}
