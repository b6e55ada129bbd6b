import { AppError, describeError, type ErrorCode, isAppError, type Logger } from "@ckmesh/core";
import {
  checkDeltaEnds,
  checkTrust,
  type DeltaHead,
  decodeDeltaHead,
  deltaIndexFileName,
  type SignedHead,
} from "@ckmesh/image";
import type { VersionFiles } from "@ckmesh/store";
import type { ClientContext } from "../client-context.js";

/** Versions that a delta is looked for from: each costs a request where there is none. */
const MAX_BASES = 4;

/** A delta to the version that is fetched, from one that is here. */
export interface FoundDelta {
  readonly signed: SignedHead<DeltaHead>;
  /** The first 4096 bytes of its index. */
  readonly block: Uint8Array;
  readonly base: VersionFiles;
}

export interface DeltaSearch {
  readonly context: Pick<ClientContext, "origin" | "trust">;
  readonly target: VersionFiles;
  /** Complete versions of the image, those first that the search begins with. */
  readonly bases: readonly VersionFiles[];
  /** What the delta has to be shorter than to be of use. */
  readonly missingBytes: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Looks for a delta under the name that it has on every server; nothing that the head says is believed before its
 * signature, and that it leads from the one version to the other.
 * @throws {AppError} as `OriginHttp.fetchHead`, when nobody can say whether there is one
 */
export async function findDelta(search: DeltaSearch): Promise<FoundDelta | undefined> {
  const { target, logger } = search;
  for (const base of search.bases.slice(0, MAX_BASES)) {
    const { name, version } = target.signed.head;
    const file = deltaIndexFileName(name, version, base.signed.head.version);
    const block = await fetchHeadOrNone(file, search);
    if (block === undefined) continue;
    try {
      const signed = checkedHead(block, base, search);
      // Versions that do not resemble each other have one in which nothing is.
      if (signed.head.counts.frames > 0) return { signed, block, base };
    } catch (err) {
      if (!isAppError(err)) throw err;
      logger.warn({ err, file }, "delta passed over");
    }
  }
  return undefined;
}

function checkedHead(block: Uint8Array, base: VersionFiles, search: DeltaSearch): SignedHead<DeltaHead> {
  const signed = decodeDeltaHead(block);
  checkTrust(signed, search.context.trust);
  checkDeltaEnds(signed.head, base.signed, search.target.signed);
  const { pack, sections } = signed.head;
  const length = pack.length + sections.reduce((sum, section) => sum + section.length, 0);
  if (length >= search.missingBytes) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the delta takes ${length} bytes, and what it would replace ${search.missingBytes}`,
    );
  }
  return signed;
}

async function fetchHeadOrNone(file: string, search: DeltaSearch): Promise<Uint8Array | undefined> {
  try {
    const answer = await search.context.origin.fetchHead(file, { signal: search.signal });
    return answer.status === "found" ? answer.bytes : undefined;
  } catch (err) {
    if (!isAppError(err) || !isRefusal(err.code)) throw err;
    search.logger.debug({ reason: describeError(err), file }, "no delta");
    return undefined;
  }
}

/** What may be otherwise in a moment; all else says that the delta is not there, or not for this machine. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "ERR_ABORTED",
  "ERR_ORIGIN_UNREACHABLE",
  "ERR_RATE_LIMITED",
  "ERR_SHUTTING_DOWN",
  "ERR_TIMEOUT",
]);

/** True if the origin does not give out the delta as its head says: it is gone, another one, or damaged there. */
export function isRefusal(code: ErrorCode): boolean {
  return !PASSING.has(code);
}
