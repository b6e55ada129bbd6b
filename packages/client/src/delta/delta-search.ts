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

/**
 * Versions that a delta is looked for from by its name: each costs a request where there is none, and there are rarely
 * more. Behind them a way is looked for over several deltas.
 */
export const MAX_BASES = 2;

/** A delta on the way to the version that is fetched. */
export interface FoundDelta {
  readonly signed: SignedHead<DeltaHead>;
  /** The first 4096 bytes of its index. */
  readonly block: Uint8Array;
  readonly base: VersionFiles | VersionBetween;
}

/** A version that is not here, of which a delta needs a part: what is needed of it comes by another delta. */
export interface VersionBetween {
  readonly signed: SignedHead;
  /** The first 4096 bytes of its index. */
  readonly block: Uint8Array;
  /** The delta that leads to it. */
  readonly delta: FoundDelta;
}

export interface DeltaSearch {
  readonly context: Pick<ClientContext, "origin" | "trust">;
  readonly target: Pick<VersionFiles, "signed">;
  /** Complete versions of the image, those first that the search begins with. */
  readonly bases: readonly VersionFiles[];
  /** What the deltas have to be shorter than to be of use. */
  readonly missingBytes: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Looks for a delta under the name that it has on every server; nothing that the head says is believed before its
 * signature, and that it leads from the one version to the other.
 * @throws {AppError} as `OriginHttp.fetchHead`, when nobody can say whether there is one
 */
export async function findDirect(search: DeltaSearch): Promise<FoundDelta | undefined> {
  const { target } = search;
  for (const base of search.bases.slice(0, MAX_BASES)) {
    const found = await fetchDeltaHead(target.signed.head.version, base.signed.head.version, search);
    if (found === undefined) continue;
    if (isUsable(search, () => checkUse([found], [base.signed, target.signed], search)))
      return { ...found, base };
  }
  return undefined;
}

/** A delta as its head describes it. */
export type DeltaHeadBlock = Omit<FoundDelta, "base">;

/**
 * @returns undefined: there is none, or it is not for this machine, or it is none that leads there
 * @throws {AppError} as `OriginHttp.fetchHead`, when nobody can say
 */
export async function fetchDeltaHead(
  to: number,
  from: number,
  search: DeltaSearch,
): Promise<DeltaHeadBlock | undefined> {
  const file = deltaIndexFileName(search.target.signed.head.name, to, from);
  const block = await fetchHeadOrNone(file, search);
  if (block === undefined) return undefined;
  let signed: SignedHead<DeltaHead> | undefined;
  const isSound = isUsable(search, () => {
    signed = decodeDeltaHead(block);
    checkTrust(signed, search.context.trust);
  });
  // Versions that do not resemble each other have one in which nothing is.
  return isSound && signed !== undefined && signed.head.counts.frames > 0 ? { signed, block } : undefined;
}

/**
 * Requires that deltas lead from version to version, and are shorter together than what they replace.
 * @param versions one more than deltas, in their order
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function checkUse(
  deltas: readonly DeltaHeadBlock[],
  versions: readonly SignedHead[],
  { missingBytes }: Pick<DeltaSearch, "missingBytes">,
  moreBytes = 0,
): void {
  let length = moreBytes;
  for (const [i, { signed }] of deltas.entries()) {
    const [base, target] = [versions[i], versions[i + 1]];
    if (base === undefined || target === undefined) throw new Error("unreachable: a delta without its ends");
    checkDeltaEnds(signed.head, base, target);
    length += deltaBytes(signed.head);
  }
  if (length < missingBytes) return;
  throw new AppError(
    "ERR_INDEX_INVALID",
    `${deltas.length === 1 ? "the delta takes" : "the deltas take"} ${length} bytes, and what they would replace ${missingBytes}`,
  );
}

/** Bytes of all rows of a delta. */
export function deltaBytes({ pack, sections }: DeltaHead): number {
  return pack.length + sections.reduce((sum, section) => sum + section.length, 0);
}

/** False, and a line in the log, where a check says that a delta is not to be used. */
export function isUsable({ logger }: Pick<DeltaSearch, "logger">, check: () => void): boolean {
  try {
    check();
    return true;
  } catch (err) {
    if (!isAppError(err)) throw err;
    logger.warn({ err }, "delta passed over");
    return false;
  }
}

/** The head of an index, or undefined: it is not there, or not for this machine. */
export async function fetchHeadOrNone(
  file: string,
  search: Pick<DeltaSearch, "context" | "logger" | "signal">,
): Promise<Uint8Array | undefined> {
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
