import { AppError, Fields, isAppError } from "@ckmesh/core";
import { parseImageName } from "@ckmesh/image";
import type { OriginSource } from "./rows/origin-rows.js";

export const CATALOGUE_PATH = "/ckmesh/catalogue";
export const MAX_IMAGES = 10_000;

/**
 * Names of all images that this client may read at the origin.
 * @throws {AppError} ERR_CONFIG_INVALID when the server has no catalogue: it is a stock one, and the images
 *   have to be named
 */
export async function fetchCatalogue(origin: OriginSource, signal: AbortSignal): Promise<readonly string[]> {
  let answer: unknown;
  try {
    answer = await origin.fetchJson(CATALOGUE_PATH, signal);
  } catch (err) {
    const isStock = isAppError(err, "ERR_IMAGE_NOT_FOUND") || isAppError(err, "ERR_ORIGIN_INVALID");
    if (!isStock) throw err;
    throw new AppError(
      "ERR_CONFIG_INVALID",
      "the origin has no catalogue (it is a plain web server): name the images to keep with --image NAME",
      { cause: err },
    );
  }
  const images = new Fields(answer, "catalogue", "ERR_ORIGIN_INVALID").list("images", MAX_IMAGES);
  return images.map((item) => {
    const name = new Fields(item, "image", "ERR_ORIGIN_INVALID").string("name", 255);
    try {
      return parseImageName(name);
    } catch (cause) {
      throw new AppError("ERR_ORIGIN_INVALID", "the origin's catalogue names an image that cannot be", {
        cause,
      });
    }
  });
}
