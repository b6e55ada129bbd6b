import { Fields, isAppError } from "@ckmesh/core";
import { CATALOGUE_PATH, MAX_IMAGES } from "../fetch-catalogue.js";
import type { OriginSource } from "../rows/origin-rows.js";
import type { KnownDelta } from "./chain-path.js";

const MAX_VERSIONS = 10_000;
/** Deltas to one version. */
const MAX_DELTAS = 1000;
const MAX = Number.MAX_SAFE_INTEGER;

/**
 * The deltas of an image that the origin lists in its catalogue; undefined where it has none: a stock server.
 * @throws {AppError} as `OriginHttp.fetchJson`; ERR_ORIGIN_INVALID
 */
export async function fetchDeltas(
  origin: Pick<OriginSource, "fetchJson">,
  image: string,
  signal: AbortSignal,
): Promise<readonly KnownDelta[] | undefined> {
  let answer: unknown;
  try {
    answer = await origin.fetchJson(CATALOGUE_PATH, signal);
  } catch (err) {
    if (isAppError(err, "ERR_IMAGE_NOT_FOUND") || isAppError(err, "ERR_ORIGIN_INVALID")) return undefined;
    throw err;
  }
  const found: KnownDelta[] = [];
  const images = new Fields(answer, "catalogue", "ERR_ORIGIN_INVALID").list("images", MAX_IMAGES);
  for (const item of images) {
    const fields = new Fields(item, "image", "ERR_ORIGIN_INVALID");
    if (fields.string("name", 255) !== image) continue;
    for (const version of fields.list("versions", MAX_VERSIONS)) found.push(...deltasTo(version));
  }
  return found;
}

function deltasTo(version: unknown): readonly KnownDelta[] {
  const fields = new Fields(version, "version", "ERR_ORIGIN_INVALID");
  const to = fields.int("version", 1, MAX);
  return fields.list("deltas", MAX_DELTAS).map((item) => {
    const delta = new Fields(item, "delta", "ERR_ORIGIN_INVALID");
    const [pack, index] = [delta.map("pack"), delta.map("index")];
    return {
      to,
      from: delta.int("from", 1, MAX),
      bytes: pack.int("bytes", 0, MAX) + index.int("bytes", 0, MAX),
    };
  });
}
