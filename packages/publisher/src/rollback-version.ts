import { type KeyObject, randomBytes } from "node:crypto";
import { AppError, type Clock, toHex } from "@ckmesh/core";
import {
  type ControlRecord,
  checkTrust,
  encodePackHeader,
  IndexFile,
  indexFileName,
  PACK_HEADER_BYTES,
  packFileName,
  publicKeyBytes,
  renumberIndex,
  withdrawalOf,
} from "@ckmesh/image";
import type { OriginCalls } from "@ckmesh/net";
import type { ListedImage, ListedVersion } from "./admin-api.js";
import type { VersionToUpload } from "./open-version.js";
import { OriginFile } from "./origin-file.js";
import type { UploadSource } from "./upload-source.js";

export interface RollbackRequest {
  readonly image: ListedImage;
  /** Whose content is published again. */
  readonly from: ListedVersion;
  readonly signers: readonly KeyObject[];
  /** Further public keys whose versions are signed anew. */
  readonly publishers: readonly Uint8Array[];
  readonly calls: OriginCalls;
  /** For bytes of the pack that the origin lacks after all, while others go up over `calls`. */
  readonly packCalls: OriginCalls;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const SECRET_BYTES = 32;
/** Read into memory as a whole: that of a disk of 2 TB. */
const MAX_INDEX_BYTES = 2 ** 30;

/**
 * The version to go back to: the asked one, else the newest good one before the highest.
 * @throws {AppError} ERR_IMAGE_NOT_FOUND
 */
export function rollbackSource(
  { name, versions }: ListedImage,
  control: ControlRecord | undefined,
  asked: number | undefined,
): ListedVersion {
  const highest = versions.at(-1)?.version ?? 0;
  const found =
    asked === undefined
      ? versions.findLast(
          ({ version }) =>
            version < highest && (control === undefined || withdrawalOf(control, version) === undefined),
        )
      : versions.find(({ version }) => version === asked);
  if (found !== undefined) return found;
  throw new AppError(
    "ERR_IMAGE_NOT_FOUND",
    asked === undefined
      ? `${name} has no good version before version ${highest}`
      : `${name} has no version ${asked}`,
  );
}

/**
 * Makes the next version of an image with the content of an older one: a new index, signed here; its pack is the old one
 * but for its header, so an origin of ours has every other byte already.
 * @throws {AppError} ERR_SIGNATURE_INVALID when the old version is not one to be signed, ERR_USAGE when it is signed and
 *   there is no signer, ERR_FORMAT_UNSUPPORTED for an opaque pack, ERR_INDEX_INVALID, and as `OriginFile`
 */
export async function rollbackVersion(request: RollbackRequest): Promise<VersionToUpload> {
  const { image, from, signers, packCalls, clock, signal } = request;
  const old = await fetchIndex(request);
  const built = await renumberIndex(old, {
    version: image.next,
    createdAt: Math.floor(clock.wall() / 1000),
    secret: randomBytes(SECRET_BYTES),
    signers,
  });
  const { length } = built.head.pack;
  const packName = packFileName(image.name, from.version);
  const stamp = toHex(built.id);
  return {
    name: image.name,
    version: image.next,
    idHex: stamp,
    index: new MemorySource(Buffer.concat(built.parts), stamp),
    pack: new RenumberedPack(encodePackHeader(length, built.id), length, stamp, () =>
      OriginFile.open(packCalls, packName, signal),
    ),
  };
}

async function fetchIndex(request: RollbackRequest): Promise<IndexFile> {
  const { image, from, calls, signal } = request;
  const file = await OriginFile.open(calls, indexFileName(image.name, from.version), signal);
  if (file.length > MAX_INDEX_BYTES) {
    throw new AppError("ERR_INDEX_INVALID", `the index of version ${from.version} has ${file.length} bytes`);
  }
  const bytes = await file.read(0, file.length);
  const index = await IndexFile.open({
    length: bytes.length,
    read: async (offset, count) => bytes.slice(offset, offset + count),
  });
  checkSource(index, request);
  return index;
}

/** Whoever signs a version stands for its content: it must be theirs already, or of somebody they trust. */
function checkSource({ head, signed }: IndexFile, request: RollbackRequest): void {
  const { image, from, signers, publishers } = request;
  if (head.name !== image.name || head.version !== from.version || signed.idHex !== from.id) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the origin's index of ${image.name} version ${from.version} is that of another version`,
    );
  }
  if (signers.length > 0) {
    const own = signers.map((key) => publicKeyBytes(key));
    checkTrust(signed, { publishers: [...own, ...publishers], signature: "required" });
  } else if (signed.signatures.length > 0) {
    throw new AppError(
      "ERR_USAGE",
      `version ${from.version} of ${image.name} is signed: sign the next one too (--sign), else clients that know its signer refuse it`,
    );
  }
}

/** Bytes that are here. */
class MemorySource implements UploadSource {
  readonly size: number;
  readonly stamp: string;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, stamp: string) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.stamp = stamp;
  }

  async *read(first: number, last: number): AsyncGenerator<Uint8Array> {
    yield this.#bytes.subarray(first, last + 1);
  }

  async isUnchanged(): Promise<boolean> {
    return true;
  }
}

/** A new header before the frames of a pack that lies at the origin. */
class RenumberedPack implements UploadSource {
  readonly size: number;
  readonly stamp: string;
  readonly #header: Uint8Array;
  readonly #openOld: () => Promise<OriginFile>;
  #old: Promise<OriginFile> | undefined;

  constructor(header: Uint8Array, size: number, stamp: string, openOld: () => Promise<OriginFile>) {
    this.#header = header;
    this.size = size;
    this.stamp = stamp;
    this.#openOld = openOld;
  }

  async *read(first: number, last: number): AsyncGenerator<Uint8Array> {
    if (first < PACK_HEADER_BYTES) yield this.#header.subarray(first, last + 1);
    if (last < PACK_HEADER_BYTES) return;
    this.#old ??= this.#openOld();
    yield* (await this.#old).stream(Math.max(first, PACK_HEADER_BYTES), last);
  }

  /** The origin never changes a version; `OriginFile` notices if it does. */
  async isUnchanged(): Promise<boolean> {
    return true;
  }
}
