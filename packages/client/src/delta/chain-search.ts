import { isAppError } from "@ckmesh/core";
import { checkTrust, decodeHead, FRAME_RECORD_BYTES, indexFileName, type SignedHead } from "@ckmesh/image";
import { canPackNew, type VersionFiles } from "@ckmesh/store";
import { cheapestChain, type KnownDelta, stepsBetween } from "./chain-path.js";
import { STEP_SECTIONS } from "./delta-base.js";
import {
  checkUse,
  type DeltaHeadBlock,
  type DeltaSearch,
  deltaBytes,
  type FoundDelta,
  fetchDeltaHead,
  fetchHeadOrNone,
  findDirect,
  isRefusal,
  isUsable,
  MAX_BASES,
} from "./delta-search.js";
import { fetchDeltas } from "./listed-deltas.js";

/**
 * The delta that leads to the version that is fetched, from one that is here: by itself or, where there is none, after
 * others. Costs a request for each version that is here, one for the catalogue, and the heads of what is used.
 * @throws {AppError} as `OriginHttp.fetchHead`, when nobody can say whether there is one
 */
export async function findDelta(search: DeltaSearch): Promise<FoundDelta | undefined> {
  return (await findDirect(search)) ?? (await findChain(search));
}

async function findChain(search: DeltaSearch): Promise<FoundDelta | undefined> {
  const { target, bases, context, signal } = search;
  const { name, version } = target.signed.head;
  const held = new Map(bases.map((files) => [files.signed.head.version, files]));
  const steps = new Set(held.keys());
  // Nothing lies between the version before and this one.
  if (held.size === 0 || held.has(version - 1)) return undefined;
  const listed = await fetchDeltas(context.origin, name, signal).catch((err: unknown) => {
    if (isAppError(err) && isRefusal(err.code)) return undefined;
    throw err;
  });
  // One that leads here at once was asked for already: it is not there, or of no use.
  const asked = new Set(bases.slice(0, MAX_BASES).map((files) => files.signed.head.version));
  const isNew = ({ to, from }: KnownDelta): boolean => to !== version || !asked.has(from);
  const deltas =
    listed === undefined
      ? await walk(stepsBetween(steps, version), search)
      : await headsOf(cheapestChain(listed.filter(isNew), steps, version), search);
  const first = deltas?.[0];
  const base = first === undefined ? undefined : held.get(first.signed.head.base.version);
  return deltas === undefined || base === undefined ? undefined : await linked(deltas, base, search);
}

/** The heads of these deltas, first applied first; undefined when one is missing. */
async function headsOf(
  chain: readonly KnownDelta[] | undefined,
  search: DeltaSearch,
): Promise<readonly DeltaHeadBlock[] | undefined> {
  return chain === undefined ? undefined : await walk(chain.toReversed(), search);
}

/** Asks for one after the other, the last one first, as long as all are there and do not take too much. */
async function walk(
  backwards: readonly Pick<KnownDelta, "to" | "from">[] | undefined,
  search: DeltaSearch,
): Promise<readonly DeltaHeadBlock[] | undefined> {
  if (backwards === undefined) return undefined;
  const found: DeltaHeadBlock[] = [];
  let bytes = 0;
  for (const { to, from } of backwards) {
    const delta = await fetchDeltaHead(to, from, search);
    if (delta === undefined) return undefined;
    bytes += deltaBytes(delta.signed.head);
    if (bytes >= search.missingBytes) return undefined;
    found.unshift(delta);
  }
  return found;
}

/** Ties deltas to the versions between them, which have to fit. */
async function linked(
  deltas: readonly DeltaHeadBlock[],
  base: VersionFiles,
  search: DeltaSearch,
): Promise<FoundDelta | undefined> {
  const between: { signed: SignedHead; block: Uint8Array }[] = [];
  for (const { signed } of deltas.slice(0, -1)) {
    const version = await fetchVersionHead(signed.head.target.version, search);
    if (version === undefined) return undefined;
    between.push(version);
  }
  const versions = [base.signed, ...between.map(({ signed }) => signed), search.target.signed];
  const indexBytes = between.reduce(
    (sum, { signed }, i) => sum + stepIndexBytes(signed, i === 0 ? base.signed : undefined),
    0,
  );
  if (!isUsable(search, () => checkUse(deltas, versions, search, indexBytes))) return undefined;
  let found: FoundDelta | undefined;
  for (const [i, delta] of deltas.entries()) {
    const start = between[i - 1];
    found = {
      ...delta,
      base: start === undefined || found === undefined ? base : { ...start, delta: found },
    };
  }
  return found;
}

async function fetchVersionHead(
  version: number,
  search: DeltaSearch,
): Promise<{ signed: SignedHead; block: Uint8Array } | undefined> {
  const block = await fetchHeadOrNone(indexFileName(search.target.signed.head.name, version), search);
  if (block === undefined) return undefined;
  let signed: SignedHead | undefined;
  const isSound = isUsable(search, () => {
    signed = decodeHead(block);
    checkTrust(signed, search.context.trust);
  });
  // Another codec than this machine's: no delta can be applied to it here.
  return isSound && signed !== undefined && canPackNew(signed.head) ? { signed, block } : undefined;
}

/** Bytes of the index of a version between that have to come. @param before the version before it, if that is here */
function stepIndexBytes({ head }: SignedHead, before: SignedHead | undefined): number {
  const wanted = head.sections.filter(({ kind }) => STEP_SECTIONS.has(kind));
  const all = wanted.reduce((sum, { length }) => sum + length, 0);
  const isNext = before !== undefined && head.previous?.version === before.head.version;
  return isNext ? all - head.counts.kept * FRAME_RECORD_BYTES : all;
}
