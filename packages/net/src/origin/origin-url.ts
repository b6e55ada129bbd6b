import { AppError } from "@ckmesh/core";

/**
 * The URL of a virtual directory.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function parseOriginUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `origin ${JSON.stringify(text)} is no URL; write for example https://host/MEDVImages`,
    );
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      "the origin's URL must not contain a user, a password, ? or #; pass credentials by their own settings",
    );
  }
  return url;
}
