import type { Random } from "@ckmesh/core";
import type { ImageStore } from "@ckmesh/store";

/** Spread of the first check of machines that have to ask again for what they were offered. */
const SPREAD_MS = 60_000;

/**
 * Delay of the first check after a start, ms; undefined: at the client's own phase, so that a branch that
 * starts at eight spreads over the period (specs: peer wire, the 15-minute check).
 */
export async function firstCheckMs(
  store: Pick<ImageStore, "images" | "versions" | "loadRecord">,
  names: readonly string[],
  random: Random,
): Promise<number | undefined> {
  const wanted = names.length === 0 ? await store.images() : names;
  // A machine without an image that it is to have has nothing to wait for.
  if (wanted.length === 0) return 0;
  let isForgotten = false;
  for (const name of wanted) {
    const stored = await store.versions(name);
    if (stored.length === 0) return 0;
    const { alias } = await store.loadRecord(name);
    // A version that waited to be accepted is known by its head alone, which is not stored.
    isForgotten ||= alias !== undefined && !stored.some((s) => s.version === alias.version);
  }
  return isForgotten ? random.next() * SPREAD_MS : undefined;
}
