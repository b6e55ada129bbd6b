import { isAppError } from "@ckmesh/core";
import { checkTrust } from "@ckmesh/image";
import type { ClientContext } from "../client-context.js";
import { fetchOffer, fetchVersionOffer, type Offer } from "./image-offer.js";

export interface OfferSearch {
  readonly context: Pick<ClientContext, "origin" | "trust" | "clock" | "wan">;
  readonly image: string;
  /** What the alias said last, if its version is known here. */
  readonly alias: { readonly etag: string; readonly version: number } | undefined;
  /** Nothing below it is looked for. */
  readonly lowest: number;
  readonly mayHave: (version: number) => boolean;
  readonly isHere: (version: number) => boolean;
  readonly signal: AbortSignal;
}

/** Versions that are not at the origin, one after the other, before it is given up. */
const MAX_MISSING = 8;

/**
 * What is new at the origin: the head at the alias, and, where the alias stands for a version that this machine may not
 * have, the newest one below it that it may.
 * @throws {AppError} as `fetchOffer`; ERR_SIGNATURE_INVALID
 */
export async function findOffers(search: OfferSearch): Promise<readonly Offer[]> {
  const { context, image, alias, mayHave, signal } = search;
  const { clock, wan, origin, trust } = context;
  const askedAt = clock.now();
  const offer = await fetchOffer(origin, image, alias?.etag, signal);
  wan.pacer.sawDelay(clock.now() - askedAt, clock.now());
  if (offer !== undefined) checkTrust(offer.signed, trust);
  const newest = offer?.signed.head.version ?? alias?.version;
  const older = newest === undefined || mayHave(newest) ? undefined : await findOlder(search, newest);
  if (older !== undefined) checkTrust(older.signed, trust);
  return [offer, older].filter((each) => each !== undefined);
}

/** By the URLs of versions. Undefined when there is none, or it is here or on its way already. */
async function findOlder(search: OfferSearch, below: number): Promise<Offer | undefined> {
  const { context, image, lowest, mayHave, isHere, signal } = search;
  let missing = 0;
  for (let version = below - 1; version >= Math.max(1, lowest) && missing < MAX_MISSING; version -= 1) {
    if (!mayHave(version)) continue;
    if (isHere(version)) return undefined;
    try {
      return await fetchVersionOffer(context.origin, image, version, signal);
    } catch (err) {
      if (!isAppError(err, "ERR_IMAGE_NOT_FOUND")) throw err;
      missing += 1;
    }
  }
  return undefined;
}
