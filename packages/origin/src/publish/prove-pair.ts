import { AppError, type Clock } from "@ckmesh/core";
import type { RememberedVersion } from "../catalogue/catalogue-cache.js";
import type { OpaqueParts } from "../catalogue/version-of.js";
import type { FolderPair } from "./folder-scan.js";
import { hashFile, type OpaqueIndexes, stampOf } from "./opaque-pack.js";
import type { OpaqueJob } from "./verify-in-worker.js";
import { type PairToVerify, type VerifiedPair, verifyHeadOnly } from "./verify-pair.js";

export interface ProvePairOptions {
  /** Ed25519 public keys; with any, one of them must have signed. */
  /** Asked at each check. */
  readonly publishers: () => readonly Uint8Array[];
  readonly opaqueIndexes: OpaqueIndexes;
  /** Checks a pair; with `opaque`, indexes a foreign pack instead. */
  readonly verify: (
    pair: PairToVerify & { readonly opaque?: OpaqueJob },
    signal: AbortSignal,
  ) => Promise<VerifiedPair>;
  readonly clock: Clock;
}

/** A pair of which every byte is known to be right. */
export interface ProvenPair {
  readonly verified: VerifiedPair;
  /** Unix ms of the first publication. */
  readonly publishedAt: number;
  readonly opaque: OpaqueParts | undefined;
}

/**
 * Proves a pair, by its head alone when the files are those that were proven before.
 * @param known what is remembered of this version, and the fingerprint of its files now
 * @throws {AppError} as `verifyPair`; ERR_ABORTED
 */
export async function provePair(
  options: ProvePairOptions,
  pair: FolderPair,
  kind: "ours" | "foreign",
  signal: AbortSignal,
  known: { readonly version: RememberedVersion | undefined; readonly fingerprint: string },
): Promise<ProvenPair> {
  const { clock, opaqueIndexes, verify } = options;
  const publishers = options.publishers();
  const { name, version } = pair;
  const publishedAt = known.version?.publishedAt ?? Math.round(clock.wall());
  const indexPath = kind === "ours" ? (pair.index?.path ?? "") : opaqueIndexes.pathOf(name, version);
  const toVerify = { name, version, packPath: pair.pack?.path ?? "", indexPath, publishers };
  if (kind === "foreign" && publishers.length > 0) {
    throw new AppError(
      "ERR_SIGNATURE_INVALID",
      "a foreign pack cannot be signed, and publishers are configured",
    );
  }
  const isUnchanged = known.version?.fingerprint === known.fingerprint;
  let verified = isUnchanged ? verifyUnchanged(toVerify, known.version?.id) : undefined;
  if (verified === undefined) {
    // The same pack gets the same index again: date and secret depend on nothing that changes.
    const opaque = {
      createdAt: Math.floor(publishedAt / 1000),
      secret: opaqueIndexes.secretOf(name, version),
    };
    verified = await verify(kind === "ours" ? toVerify : { ...toVerify, opaque }, signal);
  }
  if (kind === "ours") return { verified, publishedAt, opaque: undefined };
  const foreignSha256 = pair.index === undefined ? undefined : await hashFile(pair.index.path);
  return { verified, publishedAt, opaque: { index: await stampOf(indexPath), foreignSha256 } };
}

/** The head of files that have not changed since they were verified; undefined when it is not what it was. */
function verifyUnchanged(pair: PairToVerify, id: string | undefined): VerifiedPair | undefined {
  try {
    const verified = verifyHeadOnly(pair);
    return verified.id === id ? verified : undefined;
  } catch {
    return undefined; // The full check says what is wrong.
  }
}
