import { AppError } from "@ckmesh/core";

export interface OriginCredentials {
  readonly user: string;
  readonly password: string;
}

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

/**
 * What every request carries: no compression, Basic credentials (RFC 7617).
 * @throws {AppError} ERR_CONFIG_INVALID when the credentials must not or cannot be sent
 */
export function originHeaders(
  url: URL,
  options: {
    readonly credentials?: OriginCredentials;
    readonly allowBasicOverHttp?: boolean;
  },
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = { "accept-encoding": "identity", "user-agent": "ckmesh" };
  if (options.credentials !== undefined) {
    const { user, password } = options.credentials;
    if (url.protocol !== "https:" && options.allowBasicOverHttp !== true) {
      throw new AppError(
        "ERR_CONFIG_INVALID",
        `a password for ${url.origin} would travel readable; use https:// for the origin, or no credentials`,
      );
    }
    // RFC 7617 §2: a user name cannot contain a colon; control characters cannot be sent.
    if (user.includes(":") || hasControls(user) || hasControls(password)) {
      throw new AppError(
        "ERR_CONFIG_INVALID",
        "user or password contains a character that Basic cannot carry",
      );
    }
    headers["authorization"] = `Basic ${Buffer.from(`${user}:${password}`, "utf8").toString("base64")}`;
  }
  return headers;
}

function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
